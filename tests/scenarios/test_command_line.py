"""The `ordergate` command as a whole: how it refuses and exits, and what it says where something is not there."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy.cli import main
from deploy.database import Database
from tests.command_lines import PROJECT, Run, command_line, with_built_in_services
from tests.usage_calls import open_journal


@pytest.fixture
def run(database: Database, tmp_path: Path) -> Run:
    return command_line(database, tmp_path / "home")


@pytest.fixture
def published(run: Run) -> Run:
    return with_built_in_services(run)


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
            ("call", "bench/echo", "--address", "http://127.0.0.1:1"),
            "There is no key to call with. Make one with `ordergate key create ACCOUNT`",
        ),
        (
            ("call", "bench/echo"),
            "Start it with `ordergate up`, set ORDERGATE_HOME to the installation that is served, or name a server",
        ),
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
    future = run("usage", "bu-01", "--period", "2999-01", fails=1).stderr
    assert "2999-01 has not begun for bu-01: it is 20" in future
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
