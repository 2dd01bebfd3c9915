"""`ordergate focus`, `margin`, `revenue`, `chargeback`, `dispute` and `close-calendar`: the provider's side of a month."""

import asyncio
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from deploy.cli import main
from deploy.database import Database
from deploy.roles import BILLING
from tests.settled_books import certificates, checks, close_october, ledger, open_payers

Run = Callable[..., Result]


@pytest.fixture
def run(database: Database, tmp_path: Path) -> Run:
    url = f"postgresql://postgres@/{database.name}?host={quote(str(database.socket_dir), safe='/')}&port=5432"
    environment: Mapping[str, str] = {
        "ORDERGATE_HOME": str(tmp_path / "home"),
        "ORDERGATE_DATABASE_URL": url,
    }

    def invoke(*arguments: str, fails: int = 0) -> Result:
        result = CliRunner().invoke(main, arguments, env=environment)
        assert result.exit_code == fails, result.output
        return result

    return invoke


def _on(database: Database, work: Callable[[asyncpg.Connection, asyncpg.Pool], Any]) -> Any:
    async def arrange() -> Any:
        admin = await asyncpg.connect(**database.admin())
        scope = {"ordergate.account": "*"}
        async with asyncpg.create_pool(**database.as_role(BILLING, scope), min_size=1, max_size=2) as pool:
            found = await work(admin, pool)
        await admin.close()
        return found

    return asyncio.run(arrange())


async def _october(admin: asyncpg.Connection, pool: asyncpg.Pool) -> None:
    await close_october(pool, [*checks("bu-06", 118), *certificates("bu-06", 1), *checks("d-27", 7)])
    await admin.execute("SET ordergate.account = '*'")
    await admin.execute(
        "INSERT INTO billing.dispute SELECT 'dsp_a', 'bu-06', 'live', id, "
        "'usage customs/certificate 2026-10 certificate', 'customs', "
        "'customs/certificate', NULL, 'CNY', 14.00, 'issued twice', issued_at, 'key/x' "
        "FROM billing.invoice WHERE account_id = 'bu-06'"
    )
    await admin.execute(
        "INSERT INTO billing.dispute_hold SELECT id, account_id, amount, opened_at FROM billing.dispute"
    )


def test_a_month_is_split_earned_disputed_and_exported(database: Database, run: Run, tmp_path: Path) -> None:
    _on(database, lambda admin, _: open_payers(admin))
    run(
        "chargeback",
        "rule",
        "bu-06",
        "logistics=55",
        "legal=25",
        "it=20",
        "--from",
        "2026-08",
        "--scope",
        "customs/check",
    )
    assert "customs/check" in run("chargeback", "rules", "bu-06").output
    _on(database, _october)
    shown = json.loads(run("chargeback", "show", "bu-06", "2026-10", "--json").output)
    assert [part["amount"] for part in shown["lines"][1]["parts"]] == ["226.16", "102.80", "82.24"]
    assert "226.16" in run("chargeback", "show", "bu-06", "2026-10").output
    refused = run("chargeback", "rule", "bu-06", "it=100", "--from", "2026-10", fails=1)
    assert "2026-11 or later" in refused.output
    assert "customs/check" in run("margin", "2026-10").output
    margin = json.loads(run("margin", "2026-10", "--json").output)
    assert [(one["service"], one["figures"]["revenue"]) for one in margin["services"]] == [
        ("customs", "459.50")
    ]
    (logistics,) = json.loads(run("revenue", "2026-10", "--unit", "logistics", "--json").output)
    assert logistics["totals"] == [
        {"currency": "CNY", "revenue": "252.72", "credits": "0.00", "amount": "252.72"}
    ]
    assert "logistics" in run("revenue", "2026-10").output

    (dispute,) = json.loads(run("dispute", "list", "--json").output)
    assert (dispute["id"], dispute["state"], dispute["amount"]["amount"]) == ("dsp_a", "open", "14.00")
    accepted = run("dispute", "accept", "dsp_a", "--reason", "it was issued twice").output
    assert "accepted" in accepted
    assert "CN-2026-000001" in accepted
    note = json.loads(run("credit-note", "CN-2026-000001").output)
    assert (note["kind"], note["total"], note["corrects"]["period"]) == ("credit_note", "14.00", "2026-10")
    for form, start in (("pdf", b"%PDF-"), ("xlsx", b"PK"), ("csv", b"\xef\xbb\xbfrow,number,")):
        path = tmp_path / f"note.{form}"
        run("credit-note", "CN-2026-000001", "--format", form, "--output", str(path))
        assert path.read_bytes().startswith(start)
    assert "There is no credit note CN-2" in run("credit-note", "CN-2", fails=1).output
    statement = json.loads(run("statement", "bu-06", "2026-10", "--json").output)
    assert [one["number"] for one in statement["credit_notes"]] == ["CN-2026-000001"]
    again = run("dispute", "reject", "dsp_a", "--reason", "no", fails=1)
    assert "decided once" in again.output
    assert json.loads(run("dispute", "list", "--json").output) == []
    assert "issued twice" in run("dispute", "list", "--all").output
    assert _on(database, lambda admin, _: ledger(admin, "disputed")) == {}

    written = run("focus", "2026-10", "--output", str(tmp_path / "october.parquet"), "--seller", "Chengchuan")
    table = pq.read_table(tmp_path / "october.parquet")
    assert f"{table.num_rows} rows" in written.output
    assert sum(table.column("BilledCost").to_pylist()) == Decimal("459.50")
    run("focus", "2026-10", "--output", str(tmp_path / "one.csv"), "--account", "bu-06")
    assert "d-27" not in (tmp_path / "one.csv").read_text("utf-8")
    unwritten = tmp_path / "future.csv"
    told = run("focus", "2999-01", "--output", str(unwritten), fails=1).output
    assert "2999-01 has not begun anywhere; nothing was written." in told
    assert not unwritten.exists()
    assert "name a file" in run("focus", "2026-10", "--output", str(tmp_path / "x.txt"), fails=2).output
    assert run("reconcile").output.splitlines()[-1].endswith("diff=0 money_diff=0")
    assert run("rebuild", "--verify").output.splitlines()[-1] == "equal"


def test_a_dispute_that_was_phoned_in_is_taken_down_and_a_rejected_one_only_again_on_purpose(
    database: Database, run: Run
) -> None:
    used = [*checks("bu-06", 118), *certificates("bu-06", 3)]

    async def october(admin: asyncpg.Connection, pool: asyncpg.Pool) -> None:
        await open_payers(admin)
        await close_october(pool, used)

    _on(database, october)
    statement = json.loads(run("statement", "bu-06", "2026-10").output)
    position = next(
        one["position"] for one in statement["lines"] if one["operation"] == "customs/certificate"
    )
    words = ("--reason", "told on the phone: issued twice")
    wanted = ("dispute", "open", "bu-06", "2026-10")

    def refused(*arguments: str) -> str:
        return " ".join(run(*wanted, *arguments, *words, fails=1).output.split())

    both = ("--line", "1", "--call", "call_x")
    for named in ((), both):
        said = run(*wanted, "14.00", *named, *words, fails=2).output
        assert "Name what is contested: --line or --call, and not both." in said
    assert "--line: the document has lines 1 to 2" in refused("14.00", "--line", "3")
    assert "--call: " in refused("14.00", "--call", "call_x")
    assert "AMOUNT: 42.00 CNY of this line can be disputed" in refused("42.01", "--line", str(position))
    line = ("14.00", "--line", str(position))
    assert "--reason: say why" in run(*wanted, *line, "--reason", " ", fails=1).output
    (made,) = json.loads(run(*wanted, *line, *words, "--json").output)
    assert (made["state"], made["held"]["amount"], made["reason"]) == ("open", "14.00", words[1])
    assert _on(database, lambda admin, _: ledger(admin, "disputed")) == {
        ("bu-06", "disputed"): Decimal("14.00")
    }
    for ruling in ("accept", "reject"):
        assert "--reason: say why" in run("dispute", ruling, made["id"], "--reason", "", fails=1).output
    run("dispute", "reject", made["id"], "--reason", "both were used")
    assert f"{made['id']} was rejected (both were used). That is final" in refused(*line)
    assert "14.00 CNY" in run(*wanted, *line, *words, "--again").output
    # A call on the line is contested once more by its own id, and not twice.
    call = ("14.00", "--call", f"call_{used[-1].id}")
    assert "customs/certificate" in run(*wanted, *call, *words).output
    assert "a call is disputed once" in refused(*call)
    (opened,) = {one["opened_by"] for one in _on(database, _openers)}
    assert opened.startswith("operator"), opened
    assert run("reconcile").output.splitlines()[-1].endswith("diff=0 money_diff=0")


async def _openers(admin: asyncpg.Connection, _: asyncpg.Pool) -> list[asyncpg.Record]:
    await admin.execute("SET ordergate.account = '*'")
    return list(await admin.fetch("SELECT opened_by FROM billing.dispute"))


def test_a_calendar_is_shown_set_and_taken_away(run: Run) -> None:
    assert "when their month is closed" in run("close-calendar").output
    assert "day 2" in run("close-calendar", "internal", "--disputes", "1", "--issue", "2").output
    assert json.loads(run("close-calendar", "--json").output) == {
        "internal": {"disputes_day": 1, "issue_day": 2}
    }
    assert "Name both days" in run("close-calendar", "internal", "--issue", "2", fails=2).output
    for days in (("3", "2"), ("1", "28")):
        refused = run("close-calendar", "internal", "--disputes", days[0], "--issue", days[1], fails=1)
        assert "days count from 0 to 27" in refused.output
    assert (
        "when their month is closed"
        in run("close-calendar", "internal", "--disputes", "0", "--issue", "0").output
    )
