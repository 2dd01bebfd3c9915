"""`ordergate publish`, `services` and `simulate-price`: what is on sale from when on, and what is wrong with a passport."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from deploy.database import Database
from tests.command_lines import BENCH, PROJECT, Run, command_line, passport_file, with_built_in_services
from tests.passports import echo_document


@pytest.fixture
def run(database: Database, tmp_path: Path) -> Run:
    return command_line(database, tmp_path / "home")


@pytest.fixture
def published(run: Run) -> Run:
    return with_built_in_services(run)


def test_publish_says_what_is_new_and_what_is_unchanged(run: Run, tmp_path: Path) -> None:
    path = passport_file(tmp_path)
    assert run("publish", path, "--dry-run").output.startswith("bench 1.0.0 would be revision 1")
    assert run("services", "--json").output.strip() == "[]"
    assert run("publish", path).output == (
        "bench 1.0.0 is revision 1, new prices bench/bench/echo/CNY@1\n"
        "  bench/echo, plan bench: 0 CNY from 2026-01-01, midnight on each payer's calendar\n"
    )
    assert run("publish", str(tmp_path)).output == "bench 1.0.0 is unchanged at revision 1\n"
    (service,) = json.loads(run("services", "--json").output)
    assert (service["service"], service["state"]) == ("bench", "published")
    assert service["operations"][0]["prices"] == [
        {"plan": "bench", "price_version": "bench/bench/echo/CNY@1", "charge": "0 CNY", "scheduled": None}
    ]
    assert "echo" in run("services").output
    assert "/v1/bench/echo" in run("services", "bench").output
    assert "No service 'tea' is published" in run("services", "tea", fails=1).stderr


def test_todays_price_and_the_scheduled_one_are_told_apart_wherever_an_operator_looks(
    run: Run, tmp_path: Path
) -> None:
    def priced(amount: str, effective_from: str = "2025-01-01") -> str:
        price = {
            "operation": "echo",
            "currency": "CNY",
            "model": "per_unit",
            "price": {"unit_price": amount},
        }
        plan = {"id": "bench", "audience": "both", "effective_from": effective_from, "prices": [price]}
        return passport_file(tmp_path, plans=[plan])

    run("publish", priced("0.085"))
    said = run("publish", priced("0.095", "2100-12-01")).output
    assert "bench/echo, plan bench: 0.085 CNY -> 0.095 CNY from 2100-12-01, midnight on each payer's" in said
    shown = run("services", "bench").output
    assert re.search(r"bench +0\.085 CNY +from 2100-12-01: 0\.095 CNY", shown)
    (service,) = json.loads(run("services", "bench", "--json").output)
    (price,) = service["operations"][0]["prices"]
    assert (price["charge"], price["scheduled"]) == (
        "0.085 CNY",
        {"price_version": "bench/bench/echo/CNY@2", "charge": "0.095 CNY", "effective_from": "2100-12-01"},
    )
    said = run("publish", priced("0.080")).output
    assert re.search(
        r"bench/echo, plan bench: 0\.085 CNY -> 0\.080 CNY from now \(.* Z\); no longer 0\.095 CNY from 2100-12-01",
        said,
    )
    (change,) = json.loads(run("publish", priced("0.07"), "--dry-run", "--json").output)[0]["price_changes"]
    assert (change["before"], change["after"], change["starts_on"]) == ("0.080 CNY", "0.07 CNY", None)
    shown = run("services", "bench").output
    assert ("0.08 CNY" in shown, "2100" in shown) == (True, False)


def test_the_catalogue_shows_sla_prices_limits_and_quotas(published: Run) -> None:
    (address,) = json.loads(published("services", "address", "--json").output)
    listed = published("services").output
    assert re.search(r"Availability ≥ 99\.\d+ %", listed)
    assert "distributor-2026 0.0" in listed
    shown = published("services", "address").output
    assert "Availability" in shown
    assert "given back" in shown
    assert "Limits and quotas" in shown
    assert "for each application and operation" in shown
    assert {"objectives", "credits"} <= address["sla"].keys()
    assert address["limits"]


def test_a_pipe_gets_whole_cells_and_no_colours(published: Run) -> None:
    rows = published("services").output.splitlines()
    listed = json.loads(published("services", "--json").output)
    assert rows[0].split() == (
        [
            "service",
            "version",
            "state",
            "visibility",
            "operations",
            "name",
            "SLA",
            "charge",
            "of",
            "one",
            "unit",
        ]
    )
    assert "\x1b" not in "".join(rows)
    assert len(rows) == 1 + len(listed), "no cell is wrapped"
    assert "…" not in "".join(rows), "no cell is shortened"


def test_a_bad_passport_changes_nothing_and_says_file_field_rule_and_remedy(run: Run, tmp_path: Path) -> None:
    good = passport_file(tmp_path, "good.yaml")
    bad = passport_file(tmp_path, "bad.yaml", version="0.9", owner={"team": "", "contact": "x"})
    error = run("publish", good, bad, fails=1).stderr
    assert f"{bad}: /version: write a semantic version from 1.0.0 on" in error
    assert "[semantic-version]" in error
    assert f"{bad}: /owner/team: say who answers for the service [required]" in error
    changed = passport_file(tmp_path, "changed.yaml", version="2.0.0")
    assert "this installation runs version 1.0.0" in run("publish", good, changed, fails=1).stderr
    strange = tmp_path / "strange.yaml"
    strange.write_text(json.dumps(echo_document(), default=str))
    assert "this installation has no service 'echo'" in run("publish", good, str(strange), fails=1).stderr
    example = [{"name": {"en": "No country"}, "request": {"country": "Germany"}}]
    operation = {**echo_document()["operations"][0], "examples": example}
    untrue = passport_file(tmp_path, "untrue.yaml", operations=[operation])
    assert "/operations/0/examples/0/request" in run("publish", untrue, fails=1).stderr
    assert json.loads(run("services", "--json").output) == []


def test_what_a_share_of_results_costs_is_told_apart_from_what_calls_cost(run: Run, tmp_path: Path) -> None:
    def plan(name: str, model: str, price: dict[str, Any], billable_on: str = "success") -> dict[str, Any]:
        entry = {"operation": "echo", "currency": "CNY", "model": model, "price": price}
        return {
            "id": name,
            "audience": "both",
            "effective_from": "2026-01-01",
            "billable_on": billable_on,
            "prices": [entry],
        }

    tiers = [{"max": {"calls": "9"}, "price": "1"}, {"max": None, "price": "2"}]
    plans = [
        plan("room", "capacity", {"tiers": tiers}),
        plan("shared", "outcome", {"rate_pct": "10"}),
        plan("refusals", "per_unit", {"unit_price": "1"}, "accepted"),
    ]
    said = run("publish", passport_file(tmp_path, plans=plans)).output
    assert re.search(r"plan room: CNY capacity \{.*\} from 2026", said)
    assert 'plan shared: CNY outcome {"rate_pct":"10"} from 2026' in said
    assert "plan refusals: 1 CNY, billing business refusals too from 2026" in said
    assert "shared 10 % of each proven result" in run("services").output
    assert re.search(r"shared +0, but 10 % of each proven result", run("services", "bench").output)
    (service,) = json.loads(run("services", "--json").output)
    (shared,) = (one for one in service["operations"][0]["prices"] if one["plan"] == "shared")
    assert (shared["charge"], shared["result_share_pct"]) == ("0 CNY", "10")


@pytest.mark.parametrize(
    ("before", "after", "refusal"),
    [
        (
            "model: per_unit",
            "model: per_moon",
            "success_tiered, outcome, unit_conversion, bucketed [model]",
        ),
        (
            'unit_price: "0"',
            "unit_price: 0.05",
            "/unit_price: numbers are decimal strings: write it in quotes",
        ),
        ("currency: CNY", "currency: RMB", "/plans/0/prices/0/currency: use an ISO 4217 code"),
        (
            "version: 1.0.0",
            "version: 1.0",
            "/version: expected `string`, got `number`; write it in quotes [type]",
        ),
        (
            "lifecycle: published",
            "lifecycle: &state published",
            "/: write values out instead of using anchors",
        ),
        (
            "criticality: support",
            "criticality: *x",
            "/: write values out instead of using anchors and aliases",
        ),
        (
            "criticality: support",
            "visibility: private",
            '/: this is not YAML 1.2 in line 10: found duplicate key "vis',
        ),
        (
            "criticality: support",
            "criticality: \x01",
            "/: this is not YAML 1.2: unacceptable character #x0001",
        ),
        (
            "effective_from: 2026-01-01",
            "effective_from: 2026-02-30",
            "/: this is not YAML 1.2 in line 34 (2026-02-30): day is out of range for month",
        ),
        (
            "lifecycle: published",
            "lifecycle: publishd",
            '/lifecycle: invalid enum value \'publishd\'; use "published", "retired" or {deprecated: {deprecation: ',
        ),
        (
            'per_unit, price: {unit_price: "0"}',
            'outcome, price: {rate_pct: "100.1"}',
            "/plans/0/prices/0/price/rate_pct: a percentage between 0 and 100 is needed [percentage]",
        ),
        (
            'per_unit, price: {unit_price: "0"}',
            'capacity, price: {tiers: [{max: {calls: "9"}, price: "2"}, {max: null, price: "1"}]}',
            "/plans/0/prices/0/price/tiers/1/price: a higher tier costs no less than the one before it [ascending]",
        ),
        (
            "criticality: support",
            "criticality: support # " + 300_000 * "x",
            "/: a passport is at most 64 KiB [size]",
        ),
        ("criticality: support", "colour: red", "[unknown-field]"),
    ],
    ids=[
        "model",
        "number",
        "currency",
        "version",
        "anchor",
        "alias",
        "duplicate",
        "binary",
        "no day",
        "lifecycle",
        "share",
        "cheaper tier",
        "huge",
        "unknown",
    ],
)
def test_a_passport_with_a_slip_is_told_field_rule_and_remedy(
    run: Run, tmp_path: Path, before: str, after: str, refusal: str
) -> None:
    text = (PROJECT / BENCH).read_text("utf-8")
    assert before in text
    path = tmp_path / "passport.yaml"
    path.write_text(text.replace(before, after), "utf-8")
    assert f"{path}: " in (error := run("publish", str(path), fails=1).stderr)
    assert refusal in error


def test_a_price_simulation_says_when_nobody_called_and_what_is_wrong_with_a_draft(
    run: Run, tmp_path: Path
) -> None:
    assert (
        "Nobody called bench in 2026-10"
        in run("simulate-price", passport_file(tmp_path), "--period", "2026-10").output
    )
    assert json.loads(run("simulate-price", passport_file(tmp_path), "--json").output)["lines"] == []
    wrong = passport_file(tmp_path, plans=[{"id": "bench"}])
    assert "/plans/0" in run("simulate-price", wrong, fails=1).output
