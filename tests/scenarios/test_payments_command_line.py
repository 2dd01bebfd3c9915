"""`ordergate payments`: terms that are agreed, transfers that are recorded and sent back, and what is open."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest
from click.testing import CliRunner, Result

from deploy.cli import main
from deploy.database import Database
from deploy.roles import BILLING
from tests.usage_books import PROFILE, add_account, add_price, call, use

Run = Callable[..., Result]
PAID = ("--reference", "TRX-1", "--received-on", "2026-11-01")


@pytest.fixture
def run(database: Database, tmp_path: Path) -> Run:
    """A command line over an installation in which `dubai` and `hefei` have used something in October."""
    url = f"postgresql://postgres@/{database.name}?host={quote(str(database.socket_dir), safe='/')}&port=5432"
    environment = {"ORDERGATE_HOME": str(tmp_path / "home"), "ORDERGATE_DATABASE_URL": url}

    async def arrange() -> None:
        admin = await asyncpg.connect(**database.admin())
        await add_account(admin, "acct_x", kind="external", name="dubai", profile=PROFILE)
        await add_account(admin, "acct_a", name="hefei")
        await add_price(admin, "price", model="flat", price={"amount": "100.00"})
        scope = {"ordergate.account": "*"}
        pool = await asyncpg.create_pool(**database.as_role(BILLING, scope), min_size=1, max_size=2)
        await use(
            pool, [call(account, datetime(2026, 10, 5, tzinfo=UTC)) for account in ("acct_x", "acct_a")]
        )
        await pool.close()
        await admin.close()

    asyncio.run(arrange())

    def invoke(*arguments: str, fails: int = 0) -> Result:
        result = CliRunner().invoke(main, arguments, env=environment)
        assert result.exit_code == fails, result.output
        return result

    return invoke


def test_terms_are_agreed_shown_and_stand_on_the_next_invoice(run: Run) -> None:
    shown = run("payments", "terms", "dubai").output
    assert shown == "dubai: invoices are paid by transfer, without a due day, and never reminded of\n"
    seller = ("--legal-name", "Chengchuan Ltd", "--address", "2 Huaihe Road", "--tax-id", "913401")
    run("seller", "profile", *seller)
    assert "due after 30 days" in run("payments", "terms", "dubai").output
    agreed = run("payments", "terms", "dubai", "--days", "14", "--reminders", "1,7").output
    assert (
        agreed
        == "dubai: invoices are paid by transfer, due after 14 days, and reminded 1, 7 days after that\n"
    )
    run("payments", "terms", "dubai", "--days", "21")
    found = json.loads(run("payments", "terms", "dubai", "--json").output)
    assert found == {
        "account": "dubai",
        "terms_days": 21,
        "agreed": True,
        "reminder_days": [1, 7],
        "collected": False,
    }
    assert "never reminded" in run("payments", "terms", "dubai", "--reminders", "none").output
    assert "due after 30 days" in run("payments", "terms", "dubai", "--days", "seller").output
    assert "due after 9 days" in run("payments", "terms", "dubai", "--days", "9").output
    run("close", "2026-10")
    document = json.loads(run("statement", "dubai", "2026-10").output)
    assert document["seller"]["payment_days"] == 9
    (one,) = json.loads(run("payments", "owed", "--json").output)
    assert (one["due_on"], one["reminder_days"]) == (document["due_on"], [])
    assert (one["due_in_days"], one["days_overdue"]) == (9, None)
    assert "in 9 days" in run("payments", "owed").output
    assert "(in 9 days)" in run("payments", "show", one["number"]).output
    # Collecting keeps what was agreed.
    assert "due after 9 days, and never reminded" in run("payments", "collect", "dubai").output


@pytest.mark.parametrize(
    ("arguments", "told", "status"),
    [
        (("dubai", "--days", "0"), "--days: give 1 to 365 days", 1),
        (("dubai", "--days", "366"), "--days: give 1 to 365 days", 1),
        (("dubai", "--reminders", "14,1"), "--reminders: give rising numbers of days from 1", 1),
        (("dubai", "--reminders", "0,1"), "--reminders: give rising numbers of days from 1", 1),
        (
            ("dubai", "--reminders", ",".join(str(day) for day in range(1, 15))),
            "--reminders: give at most 12",
            1,
        ),
        (("dubai", "--reminders", "soon"), "write numbers of days such as 1,14,28, or none", 2),
        (("dubai", "--days", "soon"), "not a valid integer", 2),
        (("hefei", "--days", "14"), "settled inside the group", 1),
        (("nobody", "--days", "14"), "no account", 1),
    ],
)
def test_terms_that_cannot_be_kept_are_refused_by_the_option_and_change_nothing(
    run: Run, arguments: tuple[str, ...], told: str, status: int
) -> None:
    refused = " ".join(run("payments", "terms", *arguments, fails=status).output.split())
    assert told in refused
    assert "never reminded" in run("payments", "terms", "dubai").output


def test_a_transfer_is_recorded_shown_repeated_and_sent_back(run: Run) -> None:
    run("close", "2026-10")
    first = run("payments", "record", "INV-2026-000001", "40.00", *PAID)
    assert "Notice: 2026-11-01 is before INV-2026-000001 was issued, on 20" in first.stderr
    assert first.stdout == "40.00 CNY was paid for INV-2026-000001: 60.00 CNY are owed, it is open.\n"
    assert (
        "(recorded before; nothing has changed)"
        in run("payments", "record", "INV-2026-000001", "40.00", *PAID).output
    )
    listed = run("payments", "owed").output
    assert "60.00" in listed
    assert "transfer" in listed
    rest = ("60.00", "--reference", "TRX-2", "--received-on", "2026-11-01")
    made = json.loads(run("payments", "record", "INV-2026-000001", *rest, "--json").output)
    assert (made["standing"]["state"], made["standing"]["owed"], made["is_new"]) == ("paid", "0.00", True)
    assert run("payments", "owed").output == "Nothing is owed.\n"
    assert run("payments", "owed", "dubai", "--overdue").output == "Nothing is overdue.\n"
    back = run(
        "payments", "refund", "INV-2026-000001", "60.00", "--reference", "TRX-3", "--sent-on", "2026-11-02"
    ).output
    assert back == "60.00 CNY was sent back for INV-2026-000001: 60.00 CNY are owed, it is open.\n"
    shown = run("payments", "show", "INV-2026-000001").output
    for figure in ("INV-2026-000001 of dubai: open", "TRX-1", "TRX-3", "2026-11-02", "bank_refund"):
        assert figure in shown
    found = json.loads(run("payments", "show", "inv_live_acct_x_2026-10", "--json").output)
    assert [one["name"] for one in found["facts"]] == ["TRX-1", "TRX-2", "TRX-3"]
    assert found["standing"]["owed"] == "60.00"
    last = run("reconcile").output.splitlines()[-1]
    assert last.endswith("diff=0 money_diff=0")


def test_what_cannot_be_recorded_is_refused_by_the_option(run: Run) -> None:
    run("close", "2026-10")

    def refused(*arguments: str, command: str = "record", status: int = 1) -> str:
        return " ".join(run("payments", command, *arguments, fails=status).output.split())

    assert "AMOUNT: a positive amount" in refused("INV-2026-000001", "-5", *PAID)
    assert "--reference: write the bank's reference" in refused(
        "INV-2026-000001", "5", "--reference", "", *PAID[2:]
    )
    assert "--received-on: write the day" in refused("INV-2026-000001", "5", *PAID[:3], "2999-01-01")
    assert "a day such as" in refused("INV-2026-000001", "5", *PAID[:3], "2026-11", status=2)
    assert "more than the 100.00 CNY that are owed" in refused("INV-2026-000001", "100.01", *PAID)
    assert "settled inside the group" in refused("S-2026-000001", "1", *PAID)
    assert "`ordergate payments owed` lists what is open" in refused("INV-2026-000009", "1", *PAID)
    sent = ("--reference", "B", "--sent-on", "2026-11-01")
    assert "came by bank" in refused("INV-2026-000001", "1", *sent, command="refund")
    assert "--sent-on: write the day" in refused(
        "INV-2026-000001", "1", *sent[:3], "2999-01-01", command="refund"
    )
    assert "settled inside the group" in " ".join(
        run("payments", "show", "S-2026-000001", fails=1).output.split()
    )
    assert run("payments", "owed", "--json").output.count("INV-2026-000001") == 1


def test_a_rest_is_written_off_and_neither_the_invoice_nor_its_tax_changes(
    run: Run, database: Database
) -> None:
    run("close", "2026-10")
    issued = run("statement", "dubai", "2026-10").output
    run("payments", "record", "INV-2026-000001", "99.70", *PAID)
    fees = ("--reason", "bank fees of the transfer")
    written = run("payments", "write-off", "INV-2026-000001", *fees).output
    assert written == "0.30 CNY of INV-2026-000001 is written off: 0.00 CNY are owed, it is paid.\n"
    again = run("payments", "write-off", "INV-2026-000001", "0.30", *fees).output
    assert "(recorded before; nothing has changed)" in again
    assert run("payments", "owed").output == "Nothing is owed.\n"
    shown = run("payments", "show", "INV-2026-000001").output
    for told in ("INV-2026-000001 of dubai: paid", "written off", "written_off", "bank fees of the transfer"):
        assert told in shown
    found = json.loads(run("payments", "show", "INV-2026-000001", "--json").output)
    assert (found["standing"]["written_off"], found["standing"]["paid"]) == ("0.30", "99.70")
    assert run("statement", "dubai", "2026-10").output == issued
    assert _ledger(database, "written_off") == {("house", "0.30")}
    assert _ledger(database, "receivable") == {("acct_x", "0.00"), ("acct_a", "100.00")}
    assert run("reconcile").output.splitlines()[-1].endswith("diff=0 money_diff=0")
    assert run("rebuild", "--verify").output.splitlines()[-1] == "equal"
    # It is paid after all.
    back = run("payments", "write-off", "INV-2026-000001", "--take-back", "--reason", "it came in May").output
    assert back == "0.30 CNY of INV-2026-000001 is no longer written off: 0.30 CNY are owed, it is open.\n"
    run(
        *("payments", "record", "INV-2026-000001", "0.30", "--reference", "TRX-9"),
        *("--received-on", "2026-11-02"),
    )
    assert _ledger(database, "written_off") == {("house", "0.00")}
    assert run("reconcile").output.splitlines()[-1].endswith("diff=0 money_diff=0")
    actions = _audited(database)
    assert actions == [
        ("payments.write-off", "0.30", "bank fees of the transfer"),
        ("payments.write-off.taken-back", "0.30", "it came in May"),
    ]


def test_no_more_is_written_off_than_is_owed_and_not_contested(run: Run) -> None:
    run("close", "2026-10")
    run("dispute", "open", "dubai", "2026-10", "40.00", "--line", "1", "--reason", "not ours")

    def refused(*arguments: str) -> str:
        return " ".join(run("payments", "write-off", *arguments, fails=1).output.split())

    why = ("--reason", "too little to ask for")
    assert (
        "60.01 CNY are more than the 60.00 CNY that are owed of INV-2026-000001 and not contested"
        in refused("INV-2026-000001", "60.01", *why)
    )
    for amount in ("-5", "0", "0.001"):
        assert "AMOUNT: a positive amount with at most 2 decimal places" in refused(
            "INV-2026-000001", amount, *why
        )
    assert "--reason: write why" in refused("INV-2026-000001", "1", "--reason", " ")
    assert "Nothing of INV-2026-000001 is written off: no more can be taken back" in refused(
        "INV-2026-000001", "--take-back", *why
    )
    run("payments", "write-off", "INV-2026-000001", "10.00", *why)
    assert "10.00 CNY of INV-2026-000001 are recorded under this reason" in refused(
        "INV-2026-000001", "5.00", *why
    )
    assert "10.00 CNY of INV-2026-000001 is written off: no more can be taken back" in refused(
        "INV-2026-000001", "10.01", "--take-back", *why
    )
    run("payments", "write-off", "INV-2026-000001", "--reason", "the rest of it")
    assert "Nothing is owed of INV-2026-000001 that could be written off" in refused(
        "INV-2026-000001", "--reason", "more"
    )
    assert "is a statement: it is settled inside the group" in refused("S-2026-000001", *why)
    assert run("reconcile").output.splitlines()[-1].endswith("diff=0 money_diff=0")


def _ledger(database: Database, account: str) -> set[tuple[str, str]]:
    query = "SELECT account_id, sum(amount)::text FROM billing.posting WHERE ledger_account = $1 GROUP BY 1"
    return {tuple(row) for row in _asked(database, query, account)}


def _audited(database: Database) -> list[tuple[str, ...]]:
    query = (
        "SELECT action, detail ->> 'amount', detail ->> 'reason' FROM catalog.audit "
        "WHERE action LIKE $1 ORDER BY seq"
    )
    return [tuple(row) for row in _asked(database, query, "payments.write-off%")]


def _asked(database: Database, query: str, *arguments: str) -> list[asyncpg.Record]:
    async def ask() -> list[asyncpg.Record]:
        admin = await asyncpg.connect(**database.admin())
        await admin.execute("SET ordergate.account = '*'")
        found = list(await admin.fetch(query, *arguments))
        await admin.close()
        return found

    return asyncio.run(ask())
