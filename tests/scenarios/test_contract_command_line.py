"""`ordergate account terms`, `tax`, `approve` and `clock`: what an operator agrees, sets, releases and puts forward."""

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest
from click.testing import CliRunner, Result

from billing.invoice.rate_pending import rate_pending
from catalog.vocabulary.clock import ManualClock
from deploy.cli import main
from deploy.database import Database
from deploy.roles import BILLING
from tests.usage_books import PROFILE, add_account, add_price, call, use

Run = Callable[..., Result]


@pytest.fixture
def run(database: Database, tmp_path: Path) -> Run:
    url = f"postgresql://postgres@/{database.name}?host={quote(str(database.socket_dir), safe='/')}&port=5432"
    environment = {"ORDERGATE_HOME": str(tmp_path / "home"), "ORDERGATE_DATABASE_URL": url}

    async def arrange() -> None:
        admin = await asyncpg.connect(**database.admin())
        await add_account(admin, "acct_a", name="hefei")
        await admin.close()

    asyncio.run(arrange())

    def invoke(*arguments: str, fails: int = 0) -> Result:
        result = CliRunner().invoke(main, arguments, env=environment)
        assert result.exit_code == fails, result.output
        return result

    return invoke


def test_terms_are_set_listed_and_ended(run: Run) -> None:
    agreed = ("--access-fee", "2.00", "--discount", "5", "--minimum", "40.00")
    run("account", "terms", "set", "hefei", "--from", "2026-11-15", *agreed)
    run("account", "terms", "end", "hefei", "--from", "2027-01")
    listed = json.loads(run("account", "terms", "list", "hefei", "--json").output)
    assert [(one["starts_on"], one["access_fee"], one["minimum"]) for one in listed] == [
        ("2026-11-15", "2.00", "40.00"),
        ("2027-01-01", "0", "0"),
    ]
    shown = run("account", "terms", "list", "hefei").output
    assert "the whole bill" in shown
    assert "2026-11-15" in shown


def test_terms_that_cannot_be_kept_are_refused_in_a_paragraph(run: Run) -> None:
    refused = run("account", "terms", "set", "hefei", "--from", "2026-11", "--discount", "101", fails=1)
    assert "write 0 to 100" in refused.output
    run("account", "terms", "set", "hefei", "--from", "soon", fails=2)
    run("account", "terms", "set", "hefei", "--from", "2026-11", "--minimum", "much", fails=2)
    assert "no account" in run("account", "terms", "list", "nobody", fails=1).output


def test_tax_rates_are_set_and_listed(run: Run) -> None:
    run("tax", "set", "CN", "6", "--from", "2026-01")
    run("tax", "set", "CN", "13", "--from", "2026-01", "--service", "stock")
    listed = json.loads(run("tax", "list", "--json").output)
    assert [(one["region"], one["service"], one["rate_pct"]) for one in listed] == [
        ("CN", "", "6"),
        ("CN", "stock", "13"),
    ]
    assert "all others" in run("tax", "list").output
    assert "two letters" in run("tax", "set", "China", "6", "--from", "2026-01", fails=1).output
    profile = ("--legal-name", "Hefei Trading", "--address", "1 Road", "--tax-id", "91340100")
    run("account", "profile", "hefei", *profile, "--country", "CN")
    for country in ("China", "ZZ"):
        refused = run("account", "profile", "hefei", *profile, "--country", country, fails=1).output
        assert "--country: use the two letters of ISO 3166, such as CN" in refused


def test_only_what_is_held_is_approved(run: Run) -> None:
    assert "held for review" in run("approve", "hefei", "2026-10", fails=1).output


def test_a_test_clock_is_put_forward_and_never_back(run: Run) -> None:
    next_year = datetime.now(UTC).year + 1
    to = f"{next_year}-12-01"
    assert f"{next_year}-11-30T16:00:00Z" in run("clock", "advance", "hefei", "--to", to).output
    assert "never goes back" in run("clock", "advance", "hefei", "--to", f"{next_year}-11", fails=1).output
    for never in ("2999-01-01", "9999-12-31"):
        refused = run("clock", "advance", "hefei", "--to", never, fails=1).output
        assert "--to: a sandbox is at most 731 days ahead" in " ".join(refused.split())
    assert "a day such as" in run("clock", "advance", "hefei", "--to", "0001-01-01", fails=2).output


def test_the_seller_is_said_shown_and_stands_on_documents_and_exports(
    run: Run, database: Database, tmp_path: Path
) -> None:
    assert "Nobody has said who issues" in run("seller", "show").output
    assert json.loads(run("seller", "show", "--json").output) is None
    _used(database)
    unnamed = run("close", "2026-10")
    assert "ordergate seller profile" in unnamed.stderr
    said = run(
        *("seller", "profile", "--legal-name", "Chengchuan Ltd", "--address", "2 Huaihe Road\nHefei"),
        *("--tax-id", "913401", "--payment-days", "14", "--bank", "ICBC 6222"),
    )
    assert "issued by Chengchuan Ltd; invoices are due within 14 days" in said.output
    assert json.loads(run("seller", "show", "--json").output)["tax_id"] == "913401"
    assert "2 Huaihe Road, Hefei" in run("seller", "show").output
    draft = json.loads(run("statement", "dubai", "2026-11", "--json").output)
    assert (draft["seller"]["legal_name"], draft["due_on"]) == ("Chengchuan Ltd", None)
    run("focus", "2026-11", "--output", str(tmp_path / "november.csv"))
    assert "Chengchuan Ltd" in (tmp_path / "november.csv").read_text("utf-8")
    refused = run("seller", "profile", "--legal-name", "a", "--address", "b", "--tax-id", " ", fails=1)
    assert "--tax-id: write 1 to 500 characters" in refused.output


def test_usage_names_what_the_contract_adds_and_what_the_bill_comes_to(run: Run, database: Database) -> None:
    _used(database)
    assert "bill" not in run("usage", "dubai", "--period", "2026-10").output
    run("account", "terms", "set", "dubai", "--from", "2026-10", "--access-fee", "2.00", "--minimum", "40.00")
    lines = {
        line.split()[0]: line.split()[-1]
        for line in run("usage", "dubai", "--period", "2026-10").output.splitlines()
    }
    assert (lines["usage"], lines["fee"], lines["bill"]) == ("0.06", "2.00", "40.00")
    statement = json.loads(run("statement", "dubai", "2026-10").output)
    view = json.loads(run("usage", "dubai", "--period", "2026-10", "--json").output)
    assert view["bill"]["amount"]["amount"] == statement["total"] == "40.00"


def test_a_profile_is_shown_with_what_is_missing_for_an_invoice(run: Run, database: Database) -> None:
    _used(database, profile=None)
    empty = run("account", "profile", "dubai").output
    assert "Missing for an invoice: legal name, address, tax id." in empty
    assert "ordergate account profile dubai --legal-name … --address … --tax-id …" in empty
    assert "Nobody has said who issues: `ordergate seller profile`." in empty
    view = json.loads(run("account", "profile", "dubai", "--json").output)
    assert (view["missing"], view["legal_name"]) == (["legal_name", "address", "tax_id"], "")
    partly = " ".join(run("account", "profile", "dubai", "--legal-name", "D Ltd", fails=2).output.split())
    assert "A profile is replaced as a whole: give --address and --tax-id too." in partly
    assert "give --legal-name and" in run("account", "profile", "dubai", "--country", "AE", fails=2).output
    assert "Missing for an invoice" in run("account", "profile", "dubai").output, "nothing was changed"
    whole = ("--legal-name", "D Ltd", "--address", "1 Creek Road\nDubai", "--tax-id", "100-1")
    assert run("account", "profile", "dubai", *whole).output == "Invoices to dubai are addressed to D Ltd.\n"
    said = run("account", "profile", "dubai").output
    for told in (
        "1 Creek Road, Dubai",
        "Nothing is missing for its documents.",
        "Without a country no tax is added",
    ):
        assert told in said
    assert "statements, which need no profile" in run("account", "profile", "hefei").output


def test_close_fails_where_something_due_stays_a_draft_and_only_then(run: Run, database: Database) -> None:
    _used(database, profile=None)
    left = run("close", "2026-10", fails=1)
    assert "missing: legal name, address, tax id; say it with `ordergate account profile dubai" in left.output
    run("account", "profile", "dubai", *("--legal-name", "a", "--address", "b", "--tax-id", "c"))
    run("close-calendar", "external", "--disputes", "1", "--issue", "27")
    run("close", "2026-09")
    run("close-calendar", "external", "--disputes", "0", "--issue", "0")
    run("close", "2026-10")
    run("close", "2026-10")
    assert "Exit status 0" in run("close", "--help").output


def _used(database: Database, profile: Mapping[str, str] | None = PROFILE) -> None:
    """A distributor with one call in October and one in November."""

    async def arrange() -> None:
        admin = await asyncpg.connect(**database.admin())
        await add_account(admin, "acct_x", "external", name="dubai", profile=profile)
        await add_price(admin, "price")
        await admin.close()
        scope = {"ordergate.account": "*"}
        async with asyncpg.create_pool(**database.as_role(BILLING, scope), min_size=1, max_size=2) as pool:
            await use(pool, [call("acct_x", datetime(2026, month, 5, tzinfo=UTC)) for month in (10, 11)])
            await rate_pending(pool, ManualClock(datetime(2026, 11, 6, tzinfo=UTC)))

    asyncio.run(arrange())
