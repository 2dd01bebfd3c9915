"""The `ordergate` command against a real database: what it prints, what it refuses and how it exits."""

import asyncio
import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner, Result
from ruamel.yaml import YAML

from atomic_services.registry import built_in_passports
from catalog.accounts.account import find_account
from catalog.accounts.application import create_application
from deploy.cli import main
from deploy.database import Database
from deploy.installation import acting
from tests.passports import echo_document
from tests.usage_calls import open_journal

Run = Callable[..., Result]
BENCH = Path("atomic_services/bench/passport.yaml")
PROJECT = Path(__file__).parents[2]
NOW = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def environment(database: Database, tmp_path: Path) -> Mapping[str, str | None]:
    url = f"postgresql://postgres@/{database.name}?host={quote(str(database.socket_dir), safe='/')}&port=5432"
    return {"ORDERGATE_HOME": str(tmp_path / "home"), "ORDERGATE_DATABASE_URL": url, "ORDERGATE_KEY": None}


@pytest.fixture
def run(environment: Mapping[str, str | None]) -> Run:
    """Runs a command line in this process; the exit status is 0 unless `fails` says otherwise."""

    def invoke(*arguments: str, fails: int = 0, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(main, arguments, input=stdin, env=environment)
        assert result.exit_code == fails, result.output
        return result

    return invoke


def passport_file(folder: Path, name: str = "passport.yaml", **fields: Any) -> str:
    document = {**YAML(typ="safe", pure=True).load((PROJECT / BENCH).read_text("utf-8")), **fields}
    path = folder / name
    path.write_text(json.dumps(document, default=str), "utf-8")
    return str(path)


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


@pytest.mark.parametrize(
    ("before", "after", "refusal"),
    [
        (
            "model: per_unit",
            "model: per_moon",
            "/plans/0/prices/0/model: no price model 'per_moon'; known are",
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


@pytest.fixture
def published(run: Run) -> Run:
    run("publish", *(str(PROJECT / "atomic_services" / one.service) for one in built_in_passports()))
    return run


def test_an_account_is_opened_with_plans_and_a_key_that_is_printed_alone(published: Run) -> None:
    run = published
    opened = run("account", "create", "bu-01", "--kind", "internal").output
    assert opened.startswith("bu-01 is open as acct_")
    assert "stock" in opened
    made = run("key", "create", "bu-01", "--env", "test", "--label", "shop")
    assert made.stdout.startswith("og_test_")
    assert made.stdout.count("\n") == 1
    assert "cannot be shown again" in made.stderr
    (key,) = json.loads(run("key", "list", "bu-01", "--json").output)
    assert (key["environment"], key["label"], key["revoked_at"]) == ("test", "shop", None)
    assert made.stdout.strip() not in run("key", "list", "bu-01").output
    assert "is revoked" in run("key", "revoke", made.stdout.strip()).output
    shown = json.loads(run("account", "show", "bu-01", "--json").output)
    assert [one["name"] for one in shown["applications"]] == ["default"]
    assert shown["keys"][0]["revoked_at"] is not None
    assert "revoked" in run("account", "show", "bu-01").output
    assert [one["name"] for one in json.loads(run("account", "list", "--json").output)] == ["bu-01"]


def test_a_key_belongs_to_the_only_application_or_to_the_one_that_is_named(
    published: Run, database: Database
) -> None:
    run = published

    async def add(name: str) -> None:
        async with acting(database) as transaction:
            account = await find_account(transaction, "bu-01")
            await create_application(transaction, account, name, "tests", NOW)

    run("account", "create", "bu-01")
    run("key", "create", "bu-01")
    asyncio.run(add("shop"))
    run("key", "create", "bu-01")
    run("key", "create", "bu-01", "--application", "shop")
    refused = run("key", "create", "bu-01", "--application", "till", fails=1).stderr
    assert "bu-01 has no application 'till'; its applications are default, shop." in refused
    applications = [key["application_id"] for key in json.loads(run("key", "list", "bu-01", "--json").output)]
    assert len(set(applications)) == 2


def test_an_application_and_its_cost_centre_are_made_and_the_refusal_names_the_way(published: Run) -> None:
    run = published
    run("account", "create", "bu-01")
    refused = run("key", "create", "bu-01", "--application", "shop", fails=1).stderr
    assert "its applications are default. Make it with `ordergate application create bu-01 shop`" in refused
    refused = run("application", "create", "bu-01", "shop", "--cost-centre", "sales", fails=1).stderr
    assert "its cost centres are none. Make it with `ordergate cost-centre create bu-01 sales`" in refused
    centre = json.loads(run("cost-centre", "create", "bu-01", "sales", "--json").output)
    made = run("application", "create", "bu-01", "shop", "--cost-centre", "sales").output
    assert "ordergate key create bu-01 --application app_" in made
    assert run("key", "create", "bu-01", "--application", "shop").stdout.startswith("og_live_")
    listed = json.loads(run("application", "list", "bu-01", "--json").output)
    assert [(one["name"], one["cost_centre_id"]) for one in listed] == [
        ("default", None),
        ("shop", centre["id"]),
    ]
    assert "+08:00" in run("application", "list", "bu-01").output
    assert "sales" in run("cost-centre", "list", "bu-01").output
    again = run("application", "create", "bu-01", "shop", fails=1).stderr
    assert "choose another name" in again
    blank = run("cost-centre", "create", "bu-01", " sales", fails=1).stderr
    assert "NAME: write the name without blanks" in blank


def test_an_account_chooses_its_plans(published: Run) -> None:
    run = published
    chosen = run("account", "create", "bench-1", "--subscribe", "bench=bench", "--json").output
    assert [one["service"] for one in json.loads(chosen)["subscriptions"]] == ["bench"]
    assert "is subscribed" not in run("account", "subscribe", "bench-1", "bench=bench", fails=1).output
    run("account", "unsubscribe", "bench-1", "bench")
    assert (
        "bench-1 is subscribed to bench (bench)"
        in run("account", "subscribe", "bench-1", "bench=bench").output
    )
    assert "has no plan 'gold'" in run("account", "create", "x", "--subscribe", "bench=gold", fails=1).stderr
    assert "SERVICE=PLAN" in run("account", "create", "x", "--subscribe", "bench", fails=2).stderr
    run("account", "profile", "bench-1", "--legal-name", "B Ltd", "--address", "1 Road", "--tax-id", "T1")
    assert (
        json.loads(run("account", "show", "bench-1", "--json").output)["account"]["billing_profile"]["tax_id"]
        == "T1"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("account", "create", "bu", "--currency", "RMB"), "--currency: use an ISO 4217 code"),
        (
            ("account", "create", "bu", "--timezone", "Beijing"),
            "--timezone: use a zone of the IANA database, such as Asia/Shanghai",
        ),
        (("account", "show", "nobody"), "There is no account 'nobody'; `ordergate account list`"),
        (("key", "revoke", "zzz"), "There is no such key; `ordergate key list ACCOUNT`"),
        (("usage", "nobody"), "There is no account 'nobody'"),
        (
            ("call", "bench/echo"),
            "There is no key to call with. Make one with `ordergate key create ACCOUNT`",
        ),
        (("call", "bench/echo", "--key", "k"), "Start it with `ordergate up`"),
        (("restore", "/nowhere"), "is not a whole backup"),
        (("journal", "verify", str(PROJECT / "deploy")), "holds no journal. Name a journal"),
        (("review", "approve", "none"), "There is no submission 'none'; `ordergate review list`"),
        (("statement", "nobody", "2026-01"), "There is no account 'nobody'"),
    ],
)
def test_what_cannot_be_done_is_one_paragraph_on_stderr_and_exit_status_1(
    run: Run, arguments: tuple[str, ...], message: str
) -> None:
    result = run(*arguments, fails=1)
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("brew",),
        ("publish",),
        ("account", "create", "bu", "--kind", "friend"),
        ("key", "create", "bu", "--env", "staging"),
        ("usage", "bu", "--period", "November"),
        ("statement", "bu", "2026-11", "--format", "docx"),
        ("call", "validate"),
        ("call", "bench/echo", "{"),
        ("call", "bench/echo two", "{}"),
        ("call", "bench/echo", "--key", "密钥"),
        ("call", "bench/echo", "--key", "k", "--idempotency-key", "two words"),
        ("call", "bench/echo", "--key", "k", "--address", "ftp://orders.example"),
        ("call", "bench/echo", "--key", "k", "--address", "http://127.0.0.1:port"),
        ("review", "reject", "none"),
        ("rebuild",),
    ],
)
def test_a_wrong_command_line_exits_with_status_2(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments, fails=2).stdout == ""


def test_an_empty_month_can_be_looked_at_closed_and_reconciled(published: Run) -> None:
    run = published
    run("account", "create", "bu-01")
    view = json.loads(run("usage", "bu-01", "--period", "2026-01", "--json").output)
    assert (view["calls"], view["amount"]) == (0, {"amount": "0.00", "currency": "CNY"})
    assert "total" in run("usage", "bu-01").output
    assert (
        run("close", "2026-01").output
        == "2026-01: issued 0, issued before 0, left as draft 0, not over yet 0\n"
    )
    assert "has no document for 2026-01" in run("statement", "bu-01", "2026-01", fails=1).stderr
    not_over = run("close", "2999-01", fails=1).output
    assert "skipped, 2999-01 ends on 2999-01-31T16:00:00Z (Asia/Shanghai): bu-01; 0 drafts so far" in not_over
    last = run("reconcile").output.splitlines()[-1]
    assert last == "served=0 metered=0 stored=0 rated=0 posted=0 invoiced=0 diff=0 money_diff=0"
    assert run("rebuild", "--verify").output == "equal\n"


def test_rate_answers_line_by_line(run: Run) -> None:
    case = {"id": "c1", "model": "per_unit", "currency": "CNY", "usage": "3", "price": {"unit_price": "0.05"}}
    good, bad = run("rate", stdin=f'{json.dumps(case)}\n{{"id": "c2"}}\n').output.splitlines()
    assert (json.loads(good)["id"], json.loads(good)["amount"]) == ("c1", "0.15")
    assert json.loads(bad)["id"] == "c2"


def test_the_doctor_finds_nothing_wrong_with_a_good_installation_and_names_what_is(
    published: Run, tmp_path: Path
) -> None:
    run = published
    findings = json.loads(run("doctor", "--json").output)
    assert {one["subject"] for one in findings if one["in_order"]} >= {
        "database",
        "schema",
        "catalogue",
        "audit log",
        "flow",
    }
    secrets = tmp_path / "home" / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "pepper.json").touch(0o644)
    output = run("doctor", fails=1).output
    assert "WRONG secrets: 1 files that others can read" in output
    assert "pepper.json cannot be read (Input data was truncated)" in output


def test_the_doctor_of_an_empty_home_says_how_to_begin(tmp_path: Path) -> None:
    environment = {"ORDERGATE_HOME": str(tmp_path / "nowhere"), "ORDERGATE_DATABASE_URL": None}
    output = CliRunner().invoke(main, ["doctor"], env=environment).output
    assert f"WRONG database: there is none here yet\n      There is no installation in {tmp_path}" in output
    assert "See above" not in output


def test_a_database_that_is_away_is_told_with_the_variable_that_names_it(tmp_path: Path) -> None:
    environment = {
        "ORDERGATE_HOME": str(tmp_path / "home"),
        "ORDERGATE_DATABASE_URL": "postgresql://orders@127.0.0.1:1/orders",
    }
    result = CliRunner().invoke(main, ["services"], env=environment)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: The database in ORDERGATE_DATABASE_URL cannot be reached")
    assert "Start that server, or correct the variable." in result.stderr


def test_whether_there_is_a_demo_is_on_or_off() -> None:
    result = CliRunner().invoke(main, ["services"], env={"ORDERGATE_DEMO": "no"})
    assert "ORDERGATE_DEMO='no': write `off`, or leave it unset" in result.stderr


async def test_a_journal_in_use_is_sound_and_each_thing_is_said_once(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "worker-000"):
        result = await asyncio.to_thread(CliRunner().invoke, main, ["journal", "verify", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "sound" in result.output
    assert result.output.count("a segment is prepared and not in use yet") == 1
    assert "leftover" not in result.output


def test_without_an_installation_a_command_says_where_it_looked(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from deploy.cli import main; main()", "services"],
        env={"ORDERGATE_HOME": str(tmp_path / "nowhere"), "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert f"There is no installation in {tmp_path / 'nowhere'}. Start one with `make run`" in done.stderr
    assert not (tmp_path / "nowhere").exists()


def test_a_pipe_gets_whole_cells_and_no_colours(published: Run) -> None:
    rows = published("services").output.splitlines()
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
    assert all(len(next(csv.reader(io.StringIO(row)))) >= 1 for row in rows)


def test_help_and_looking_load_no_migrations() -> None:
    script = (
        "import sys; from deploy.cli import main; main(['--help'], standalone_mode=False); "
        "assert not {'alembic', 'sqlalchemy', 'uvicorn', 'litestar'} & set(sys.modules), 'slow to start'"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "reconcile" in done.stdout


def test_a_database_address_that_cannot_be_read_names_its_variable(run: Run) -> None:
    result = CliRunner().invoke(main, ["services"], env={"ORDERGATE_DATABASE_URL": "orders"})
    assert result.exit_code == 1
    assert "ORDERGATE_DATABASE_URL cannot be used" in result.stderr


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


def test_a_person_is_made_listed_given_a_new_link_and_signed_out(run: Run) -> None:
    run("account", "create", "bu-01")
    made = run("user", "create", "Li.Wei@example.com", "--role", "member", "--account", "bu-01")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/sign-in/[A-Za-z0-9_-]{43}\n", made.stdout)
    assert "li.wei@example.com (member): works once, within 24 hours" in made.stderr
    (person,) = json.loads(run("user", "list", "--json").stdout)
    assert (person["email"], person["role"], len(person["account_ids"])) == (
        "li.wei@example.com",
        "member",
        1,
    )
    assert "li.wei@example.com" in run("user", "list").stdout
    again = json.loads(run("user", "link", "li.wei@example.com", "--json").stdout)
    assert again["user"]["id"] == person["id"]
    assert again["link"] != made.stdout.strip()
    assert run("user", "sign-out", person["id"]).stdout == f"{person['id']}: 0 sessions ended.\n"
    assert (
        "is known already" in run("user", "create", "li.wei@EXAMPLE.com", "--role", "finance", fails=1).stderr
    )
    assert "name at least one" in run("user", "create", "a@b.c", "--role", "member", fails=1).stderr
    assert "There is nobody 'x'" in run("user", "link", "x", fails=1).stderr


def test_a_key_is_shown_under_one_id_which_revoke_takes_in_either_form(run: Run) -> None:
    run("account", "create", "bu-01")
    made = json.loads(run("key", "create", "bu-01", "--json").stdout)
    id_ = made["entry"]["id"]
    assert made["key"].startswith(f"{id_}_")
    assert "public_id" not in made["entry"]
    assert run("key", "list", "bu-01").stdout.split()[0] == "id"
    for form in (id_, id_.removeprefix("og_live_"), made["key"]):
        assert run("key", "revoke", form).stdout == f"{id_} is revoked.\n"
    (listed,) = json.loads(run("key", "list", "bu-01", "--json").stdout)
    assert listed["id"] == id_


def test_payments_are_switched_on_for_external_accounts_only(run: Run) -> None:
    run("account", "create", "d-01", "--kind", "external")
    run("account", "create", "bu-01")
    assert "due after 14 days" in run("payments", "collect", "d-01", "--days", "14").output
    assert "settled inside the group" in run("payments", "collect", "bu-01", fails=1).output
    assert "1 to 365 days" in run("payments", "collect", "d-01", "--days", "0", fails=1).output
    assert "nothing more is handed over" in run("payments", "stop", "d-01").output
    assert "Nothing waits" in run("payments", "list").output
    assert json.loads(run("payments", "list", "--all", "--json").output) == []
    assert "is not held" in run("payments", "release", "inv_live_x", fails=1).output
