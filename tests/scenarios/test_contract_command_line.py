"""`ordergate account terms`, `tax`, `approve` and `clock`: what an operator agrees, sets, releases and puts forward."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest
from click.testing import CliRunner, Result

from deploy.cli import main
from deploy.database import Database
from tests.usage_books import add_account

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
    assert "two letters" in run("account", "profile", "hefei", *profile, "--country", "China", fails=1).output


def test_only_what_is_held_is_approved(run: Run) -> None:
    assert "held for review" in run("approve", "hefei", "2026-10", fails=1).output


def test_a_test_clock_is_put_forward_and_never_back(run: Run) -> None:
    assert "2998-11-30T16:00:00Z" in run("clock", "advance", "hefei", "--to", "2998-12-01").output
    assert "never goes back" in run("clock", "advance", "hefei", "--to", "2998-11", fails=1).output
