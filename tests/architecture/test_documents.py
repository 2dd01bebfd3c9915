"""What the documents name is there."""

import re
from pathlib import Path

from gateway.control.api import ENDPOINTS

ROOT = Path(__file__).parents[2]
_PATH = re.compile(
    r"\b((?:tests|deploy|catalog|gateway|billing|atomic_services|openapi)/[A-Za-z0-9_/.*-]+\.(?:py|md|json|yaml))"
)
_TARGET = re.compile(r"`make ([a-z-]+)`")


def documents() -> list[Path]:
    """Every Markdown file of the project and every Python file, whose docstrings name files too."""
    found = [*ROOT.glob("*.md")]
    for folder in ("atomic_services", "billing", "catalog", "deploy", "gateway", "openapi"):
        found += [*(ROOT / folder).rglob("*.md"), *(ROOT / folder).rglob("*.py")]
    return found


def test_every_file_that_a_document_names_exists() -> None:
    missing = [
        (path.relative_to(ROOT).as_posix(), named)
        for path in documents()
        for named in _PATH.findall(path.read_text("utf-8"))
        if not list(ROOT.glob(named))
    ]
    assert missing == []


def test_every_make_target_that_a_document_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target
        for path in ROOT.rglob("*.md")
        if ".venv" not in path.parts
        for target in _TARGET.findall(path.read_text("utf-8"))
    }
    assert named <= targets


def test_the_control_planes_readme_names_every_route() -> None:
    text = (ROOT / "gateway/control/README.md").read_text("utf-8")
    # What hangs below a path that the row has named already is written `…/approval`.
    unnamed = [
        one.path
        for one in ENDPOINTS
        if re.sub(r"\{\w+_id\}", "{id}", one.path) not in text
        and f"…/{one.path.rpartition('/')[2]}`" not in text
    ]
    assert unnamed == []
