"""`ordergate sla`, `outcome` and `maintenance`: what an operator reads, announces and decides."""

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
from click.testing import CliRunner, Result

from billing.sla.figures import refresh
from catalog.vocabulary.clock import SystemClock, from_ns
from catalog.vocabulary.ids import call_id_text
from deploy.cli import main
from deploy.database import Database
from deploy.roles import BILLING
from tests.sla_books import customs_passport, publish, report
from tests.usage_books import add_account, call, use

Run = Callable[..., Result]


@pytest.fixture
def environment(database: Database, tmp_path: Path) -> Mapping[str, str]:
    url = f"postgresql://postgres@/{database.name}?host={quote(str(database.socket_dir), safe='/')}&port=5432"
    return {"ORDERGATE_HOME": str(tmp_path / "home"), "ORDERGATE_DATABASE_URL": url}


@pytest.fixture
def run(environment: Mapping[str, str]) -> Run:
    def invoke(*arguments: str, fails: int = 0) -> Result:
        result = CliRunner().invoke(main, arguments, env=environment)
        assert result.exit_code == fails, result.output
        return result

    return invoke


def _arrange(database: Database) -> str:
    """A customs service with one call that has a verdict; the call's id."""

    async def arrange() -> str:
        admin = await asyncpg.connect(**database.admin())
        await add_account(admin, "acct_a")
        await publish(admin, customs_passport())
        now = from_ns(SystemClock().now_ns())
        event = call("acct_a", now, operation="customs/check", price_version="")
        failed = call(
            "acct_a",
            now,
            operation="customs/check",
            price_version="",
            class_="provider_error",
            environment="test",
        )
        tested = call("acct_a", now, operation="customs/check", price_version="", environment="test")
        async with asyncpg.create_pool(
            **database.as_role(BILLING, {"ordergate.account": "*"}), min_size=1, max_size=2
        ) as pool:
            await use(pool, [event, failed, tested])
            await report(admin, event, now)
            await refresh(pool, "house", SystemClock())
        await admin.close()
        return call_id_text(event.uuid)

    return asyncio.run(arrange())


def test_the_level_of_a_service_is_printed_for_people_and_programs(database: Database, run: Run) -> None:
    _arrange(database)
    table = run("sla", "customs").output
    assert "screening-up (customs/screen)" in table
    assert "unjudged" in table
    level: dict[str, Any] = json.loads(run("sla", "customs", "--json").output)
    assert [one["objective"] for one in level["objectives"]] == ["papers", "screening-up", "speed", "errors"]
    assert level["objectives"][3]["attained"]["light"] == "good"
    assert "not seen yet" in run("sla", "customs", "--period", "2020-01").output
    assert "No service 'tea' is published" in run("sla", "tea", fails=1).stderr
    assert level["environment"] == "live"
    sandbox = json.loads(run("sla", "customs", "--sandbox", "acct_a", "--json").output)
    assert sandbox["environment"] == "test"
    assert [one["own"]["measured"] for one in sandbox["objectives"]][-1] == "1 / 2"
    assert [one["attained"] for one in sandbox["objectives"]] == [None] * 4
    table = run("sla", "customs", "--sandbox", "acct_a").output
    assert " test " in table.partition("\n")[0]
    assert "missed" in table
    assert "acct_none" in run("sla", "customs", "--sandbox", "acct_none", fails=1).stderr


def test_a_verdict_is_listed_contested_and_decided(database: Database, run: Run) -> None:
    call_id = _arrange(database)
    assert "reported" in run("outcome", "list", "customs").output
    assert (
        "only a contested one"
        in run("outcome", "resolve", call_id, "upheld", "--reason", "x", fails=1).stderr
    )
    contested = json.loads(
        run("outcome", "contest", call_id, "--reason", "stamp was missing", "--json").output
    )
    assert contested[0]["state"] == "contested"
    assert "dismissed" in run("outcome", "resolve", call_id, "dismissed", "--reason", "agreed").output
    assert "a call id is" in run("outcome", "contest", "call_1", "--reason", "x", fails=2).stderr


def test_maintenance_is_announced_with_a_zone_and_ahead(database: Database, run: Run) -> None:
    _arrange(database)
    now = from_ns(SystemClock().now_ns()).replace(minute=0, second=0, microsecond=0)
    starts, ends = now + timedelta(hours=2), now + timedelta(hours=3)
    window = ("--starts", starts.isoformat(), "--ends", ends.isoformat(), "--reason", "new index")
    made = json.loads(run("maintenance", "customs/screen", *window, "--json").output)
    assert (made["operation"], made["reason"]) == ("customs/screen", "new index")
    assert made["starts_at"] == starts.astimezone(UTC).isoformat().replace("+00:00", "Z")
    past = ("--starts", "2020-01-01T00:00Z", "--ends", "2020-01-01T01:00Z", "--reason", "x")
    assert "announced before it starts" in run("maintenance", "customs", *past, fails=1).stderr
    naive = ("--starts", "2100-01-01T00:00", "--ends", "2100-01-01T01:00", "--reason", "x")
    assert "needs a zone" in run("maintenance", "customs", *naive, fails=2).stderr
    assert datetime.fromisoformat(made["announced_at"]) < starts
