"""`close` takes every call that was recorded before it; where they do not arrive it says so and changes nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from billing.cut import LagStays
from billing.desk import CloseReport, close_recorded
from billing.flow import Flow
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from deploy.cli.failures import explanation
from tests.usage_books import add_account, add_price, call, store
from tests.usage_calls import append_events, open_journal, write_journal

OCTOBER = Period(2026, 10)
OCTOBER_5 = datetime(2026, 10, 5, tzinfo=UTC)


class Month:
    """October of one account; the clock moves with every pause of whoever waits."""

    def __init__(self, pool: asyncpg.Pool, root: Path) -> None:
        self.pool = pool
        self.root = root
        self.clock = ManualClock(datetime(2026, 11, 2, tzinfo=UTC))
        self.flow = Flow(pool, root, None, self.clock)
        self.noticed: list[str] = []

    async def pause(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await asyncio.sleep(0)

    async def take(self) -> None:
        await self.flow.ship()
        await self.flow.roll_up()

    async def close(self, sleep: Callable[[float], Awaitable[object]] | None = None) -> CloseReport:
        return await close_recorded(
            self.pool,
            self.root,
            OCTOBER,
            clock=self.clock,
            sleep=sleep or self.pause,
            notice=self.noticed.append,
            patience_s=5,
        )


@pytest.fixture
async def month(admin: asyncpg.Connection, billing_pool: asyncpg.Pool, tmp_path: Path) -> Month:
    await add_account(admin, "acct_a")
    await add_price(admin, "price")
    return Month(billing_pool, tmp_path)


async def test_a_call_that_was_answered_just_before_is_on_the_document(month: Month) -> None:
    async def pause_while_billing_works(seconds: float) -> None:
        await month.pause(seconds)
        await month.take()

    # The gateway goes on with the journal while the month is closed.
    async with open_journal(month.root / "worker-000") as journal:
        await append_events(journal, [call("acct_a", OCTOBER_5) for _ in range(3)])
        await store(month.pool, [call("acct_a", OCTOBER_5)])
        report = await month.close(pause_while_billing_works)
    (document,) = report.issued
    assert str(document.total) == "0.22"
    assert month.noticed == ["journal worker-000: 3 records not shipped; 1 stored calls not added up"]


async def test_unshipped_records_refuse_the_close_by_name_and_nothing_is_half_done(
    month: Month, admin: asyncpg.Connection
) -> None:
    await write_journal(month.root / "worker-000", [call("acct_a", OCTOBER_5) for _ in range(2)])
    await write_journal(month.root / "worker-001", [call("acct_a", OCTOBER_5)])
    started_ns = month.clock.monotonic_ns()
    with pytest.raises(LagStays) as refused:
        await month.close()
    assert month.clock.monotonic_ns() - started_ns >= 5_000_000_000
    assert refused.value.lag.unshipped == {"worker-000": 2, "worker-001": 1}
    said = explanation(refused.value)
    assert said is not None
    assert said.startswith("After 5 s usage is still on its way: journal worker-000: 2 records not shipped;")
    assert "Nothing was changed" in said
    assert await admin.fetchval("SELECT count(*) FROM billing.invoice") == 0
    await month.take()
    assert [str(one.total) for one in (await month.close()).issued] == ["0.17"]


async def test_stored_calls_that_nobody_adds_up_refuse_the_close(
    month: Month, admin: asyncpg.Connection
) -> None:
    await store(month.pool, [call("acct_a", OCTOBER_5) for _ in range(2)])
    with pytest.raises(LagStays, match="2 stored calls not added up"):
        await month.close()
    assert await admin.fetchval("SELECT count(*) FROM billing.invoice") == 0
    await month.take()
    assert len((await month.close()).issued) == 1


async def test_what_is_recorded_while_it_waits_keeps_no_close_waiting(month: Month) -> None:
    async with open_journal(month.root / "worker-000") as journal:
        await append_events(journal, [call("acct_a", OCTOBER_5)])

        async def pause_while_calls_go_on(seconds: float) -> None:
            await month.pause(seconds)
            await month.take()
            await append_events(journal, [call("acct_a", OCTOBER_5)])

        report = await month.close(pause_while_calls_go_on)
    assert [str(one.total) for one in report.issued] == ["0.06"]
