"""What amends a usage row moves its units and its money, is no call, and leaves the row as it was."""

from datetime import UTC, datetime
from decimal import Decimal

import asyncpg
import pytest

from billing.invoice.rate_pending import rate_pending
from billing.rebuild import verify
from billing.store.amend import Amendment, amend, amended_units
from billing.transaction import all_accounts
from billing.view import calls, usage
from catalog.vocabulary.clock import SystemClock
from catalog.vocabulary.ids import call_id_text
from catalog.vocabulary.period import Period
from tests.reported_usage import amend_as_said
from tests.usage_books import add_account, add_price, call, roll_up_all, store

NOVEMBER = Period(2026, 11)
NOON = datetime(2026, 11, 5, 4, tzinfo=UTC)


async def _rated(pool: asyncpg.Pool, admin: asyncpg.Connection) -> tuple[Decimal, Decimal, int]:
    """Amount, units and calls that the month's lines sum to, once everything is rated."""
    await roll_up_all(pool)
    report = await rate_pending(pool, SystemClock())
    assert not report.unratable
    row = await admin.fetchrow(
        "SELECT sum(amount), sum(units_after - units_before), sum(calls_after - calls_before)::bigint FROM billing.rated_line"
    )
    assert row is not None
    return tuple(row)


@pytest.fixture(autouse=True)
async def books(admin: asyncpg.Connection) -> None:
    await add_account(admin, "acct_a")
    await add_price(admin, "price")
    await add_price(
        admin,
        "share",
        operation="stock/adjust",
        model="percentage",
        price={"rate_pct": "10", "fixed_per_event": "1.00"},
    )


async def test_units_are_added_and_taken_away_and_the_number_of_calls_stays(
    billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    event = call("acct_a", NOON, units="100")
    await store(billing_pool, [event], "import")
    assert await _rated(billing_pool, admin) == (Decimal("5.50"), Decimal(100), 1)

    await amend_as_said(admin, event, "-60")
    assert await _rated(billing_pool, admin) == (Decimal("2.20"), Decimal(40), 1)
    await amend_as_said(admin, event, "10")
    assert await _rated(billing_pool, admin) == (Decimal("2.75"), Decimal(50), 1)

    async with all_accounts(billing_pool) as connection:
        amended = await amended_units(connection, [event.uuid])
        (shown,) = (await calls(connection, "acct_a", "live", 10)).data
        view = await usage(connection, "acct_a", "live", NOVEMBER)
    assert {one: sorted(units) for one, units in amended.items()} == {event.uuid: [-60, 10]}
    assert (shown.units, shown.charge.amount) == ("50", "2.75")
    assert (view.calls, view.units, view.amount.amount) == (1, "50", "2.75")
    assert await verify(billing_pool, []) == []


async def test_a_price_for_each_event_sees_one_event_at_what_it_was_amended_to(
    billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    first, second = (
        call("acct_a", NOON, operation="stock/adjust", price_version="share", units=units)
        for units in ("100", "20")
    )
    await store(billing_pool, [first, second], "import")
    assert (await _rated(billing_pool, admin))[0] == Decimal("14.00")

    await amend_as_said(admin, first, "-50")
    assert (await _rated(billing_pool, admin))[0] == Decimal("9.00")
    await amend_as_said(admin, second, "-20")
    assert (await _rated(billing_pool, admin))[0] == Decimal("6.00"), (
        "nothing is left of it, not even its fee"
    )
    assert await verify(billing_pool, []) == []


async def test_what_amends_names_a_stored_event_that_amends_nothing_itself(
    billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    event = call("acct_a", NOON)
    await store(billing_pool, [event], "import")
    await amend_as_said(admin, event, "1")
    amending = await admin.fetchval("SELECT id FROM billing.usage_event WHERE amends IS NOT NULL")

    async with all_accounts(billing_pool) as connection:
        with pytest.raises(AssertionError, match="one stored event"):
            await amend(connection, [Amendment(amending, Decimal(1))])


async def test_usage_that_amends_what_nobody_corrected_is_found(
    billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    """Whoever may write usage rows may take units away; the books say that nobody asked for it."""
    said, unsaid = (call("acct_a", NOON, units="10") for _ in range(2))
    await store(billing_pool, [said, unsaid], "import")
    await amend_as_said(admin, said, "-5")
    await _rated(billing_pool, admin)
    assert await verify(billing_pool, []) == []
    async with all_accounts(billing_pool) as connection:
        await amend(connection, [Amendment(unsaid.uuid, Decimal(-5))])
    await _rated(billing_pool, admin)
    (found,) = await verify(billing_pool, [])
    assert f"-5 units amend {call_id_text(unsaid.uuid)}, which nobody corrected" in found


async def test_only_what_amends_may_take_units_away(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await store(billing_pool, [call("acct_a", NOON, units="-1")], "import")
    with pytest.raises(asyncpg.CheckViolationError):
        await store(billing_pool, [call("acct_a", NOON)], "amendment")
