"""The page for product owners says what is so: its examples are read, its refusals are the ones that are given."""

import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from uuid import UUID

import msgspec
import pytest

from atomic_services import registry
from atomic_services.contract import AtomicService, CallContext
from catalog.load import Catalogue
from catalog.passport import OperationEntry, Passport, PassportRefused, interface_changes, read_passport
from catalog.plan import parse_price
from catalog.plan.parse import MODELS
from catalog.registry.prices import unmetered
from catalog.vocabulary.strict_json import convert

PAGE = (Path(__file__).parents[2] / "catalog/passport/README.md").read_text("utf-8")
_PER_UNIT = 'model: per_unit, price: {unit_price: "0.085"}'
EXAMPLE: str = re.findall(r"```yaml passport\n(.*?)```", PAGE, re.DOTALL)[0]
PRICES = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| `(\{.*\})` \|$", PAGE, re.MULTILINE))
REFUSALS = re.findall(r"```yaml instead\n(.*?)```\n+```refusal\n(.*?)```", PAGE, re.DOTALL)


def _spoilt(lines: str) -> str:
    """The example with these lines in the place of those that begin alike."""
    text = EXAMPLE
    for line in lines.splitlines():
        # A price line is known by its currency, any other one by its field.
        head = re.escape(line.split("model:")[0] if "model:" in line else line.split(":")[0] + ":")
        text, found = re.subn(rf"^{head}.*$", line, text, flags=re.MULTILINE)
        assert found == 1, line
    return text


def test_the_example_is_a_passport_and_shows_every_field() -> None:
    passport = read_passport(EXAMPLE)
    (operation,) = passport.operations
    written = {name for name in Passport.__struct_fields__ if f"\n{name}:" in f"\n{EXAMPLE}"}
    assert written == set(Passport.__struct_fields__)
    assert all(f" {name}:" in EXAMPLE for name in OperationEntry.__struct_fields__)
    assert operation.id == "greet"


def test_every_price_model_has_an_example_that_is_read() -> None:
    assert PRICES.keys() == MODELS.keys() - {"sla_credit"}
    for model, example in PRICES.items():
        parse_price(model, msgspec.json.decode(example))


def test_every_model_can_be_published_as_its_example_is() -> None:
    refused = []
    for model, example in PRICES.items():
        price = f"model: {model}, price: {example}"
        passport = read_passport(EXAMPLE.replace(_PER_UNIT, price, 1))
        refused += [model] if unmetered(passport.parsed_plans, passport.operations) else []
    assert refused == []


async def test_the_code_that_it_shows_is_the_service_of_its_passport(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "atomic_services.hello", ModuleType("atomic_services.hello"))
    made: dict[str, ModuleType] = {}
    for name, code in re.findall(r"```python hello/(\w+)\n(.*?)```", PAGE, re.DOTALL):
        made[name] = ModuleType(f"atomic_services.hello.{name}")
        monkeypatch.setitem(sys.modules, made[name].__name__, made[name])
        exec(code, made[name].__dict__)  # noqa: S102 - the code is the page's own
    service: AtomicService = made["run"].SERVICE
    passport = read_passport(EXAMPLE)
    monkeypatch.setattr(registry, "SERVICES", {service.name: service})
    registry.check(Catalogue(passports={passport.service: passport}, operations={}, price_versions={}))
    assert registry.example_errors(passport) == ()
    (example,) = passport.operations[0].examples
    operation = service.operations["greet"]
    context = CallContext(UUID(int=0), "test", "acct_a", "app_a", datetime(2026, 11, 1, tzinfo=UTC))
    reply = await operation.run(convert(example.request, operation.request), context)
    assert msgspec.to_builtins(reply) == example.reply


@pytest.mark.parametrize(("lines", "refusal"), REFUSALS)
def test_every_refusal_is_the_one_that_is_given(lines: str, refusal: str) -> None:
    owned = read_passport(EXAMPLE)
    try:
        errors = tuple(interface_changes(owned, read_passport(_spoilt(lines))))
    except PassportRefused as refused:
        errors = refused.errors
    assert "".join(f"{one.pointer}: {one.detail} [{one.rule}]\n" for one in errors) == refusal


@pytest.mark.parametrize(
    ("field", "changed", "is_terms"),
    [
        ("deadline_ms", "deadline_ms: 900", True),
        ("max_body_bytes", "max_body_bytes: 900", True),
        ("freshness", "freshness: {max_age_s: 60}", True),
        ("success_when", "success_when: status == 200 and reply.text != ''", False),
        ("personal_data", "personal_data: []", False),
        ("problems", "problems: []", False),
        ("meter", "meter: {items: /names}", False),
    ],
)
def test_terms_and_interface_are_told_apart_as_it_says(field: str, changed: str, is_terms: bool) -> None:
    offered = read_passport(re.sub(rf"(?m)^    {field}:.*$", f"    {changed}", EXAMPLE))
    assert (interface_changes(read_passport(EXAMPLE), offered) == []) is is_terms
