"""A stage can only be reached with the proof of the one before: each proof is made in one place."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MADE_IN = {
    "Caller": "gateway/authenticate.py",
    "Permit": "gateway/authorise.py",
    "Admission": "gateway/limit.py",
    "ValidCall": "gateway/validate.py",
    "Outcome": "gateway/dispatch.py",
    "Receipt": "gateway/meter.py",
}
# An adapter knows the port that it implements, which is declared by the stage that needs it.
PORTS_OF = {"gateway/stores/counters.py": {"gateway.limit"}}
PRODUCT = ("atomic_services", "billing", "catalog", "deploy", "gateway", "openapi")


def _trees() -> Iterator[tuple[str, ast.AST]]:
    for package in PRODUCT:
        for path in (ROOT / package).rglob("*.py"):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text("utf-8"))


def test_each_proof_is_constructed_only_by_its_own_stage() -> None:
    made: dict[str, set[str]] = {name: set() for name in MADE_IN}
    for place, tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MADE_IN:
                made[node.func.id].add(place)
    assert made == {name: {place} for name, place in MADE_IN.items()}


def test_the_pipeline_alone_joins_the_stages() -> None:
    stages = {place.removesuffix(".py").replace("/", ".") for place in MADE_IN.values()}
    for place, tree in _trees():
        if place in ("gateway/pipeline.py", "gateway/app.py"):
            continue
        imported = {
            node.module
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module is not None
        }
        joined = imported & (stages - {"gateway.authenticate"}) - PORTS_OF.get(place, set())
        assert not joined, f"{place} reaches into {joined}"


def test_dangers_of_our_own_stay_in_their_rooms() -> None:
    """Clocks and the environment each have one door; a broad `except` always raises or says why it may not."""
    for place, tree in _trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
                continue
            read = f"{node.value.id}.{node.attr}"
            if read in ("time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "date.today"):
                assert place == "catalog/vocabulary/clock.py", f"{place} reads {read}; take a Clock"
            if read in ("os.environ", "os.getenv"):
                allowed = place.endswith("settings.py") or place in (
                    "deploy/up.py",
                    "deploy/embedded_postgres/launcher.py",
                )
                assert allowed, f"{place} reads the environment; put it into settings.py"
