"""What a correction takes away is given back: by budgets and credit at once, by issued documents with the one that corrects them."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest

from billing.desk import accept, close
from billing.invoice.rate_pending import rate_pending
from billing.prepaid.expire import expire_credit
from billing.prepaid.grants import grant_credit
from billing.transaction import all_accounts
from catalog.accounts.account import find_account
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from tests.prepaid_books import NOVEMBER_2, OCTOBER_5, all_agree, faults, give, grants, ledger, spend, used
from tests.reported_usage import TIMEZONE, accepted, correct, corrected, report
from tests.usage_books import PROFILE, add_account, add_price, call, roll_up_all, use

OCTOBER, NOVEMBER, DECEMBER = Period(2026, 10), Period(2026, 11), Period(2026, 12)
OCTOBER_15, OCTOBER_25 = datetime(2026, 10, 15, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)
NOVEMBER_5, DECEMBER_2 = datetime(2026, 11, 5, tzinfo=UTC), datetime(2026, 12, 2, tzinfo=UTC)
JANUARY_2 = datetime(2027, 1, 2, tzinfo=UTC)


@pytest.fixture(autouse=True)
async def account(admin: asyncpg.Connection) -> None:
    await add_account(admin, "acct_a", kind="external", profile=PROFILE)
    await add_price(admin, "price")


async def _rated(pool: asyncpg.Pool, now: datetime) -> None:
    await roll_up_all(pool)
    await rate_pending(pool, ManualClock(now))


async def test_a_correction_gives_back_first_what_was_taken_last_and_never_more_than_was_taken(
    gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    first = await give(billing_pool, "0.40", priority=1)
    await give(billing_pool, "0.60", priority=2)
    await spend(admin, first, "0.10")
    event = call("acct_a", OCTOBER_5, units="30")
    await accepted(gateway_pool, [report(event)], OCTOBER_25)
    assert await used(billing_pool) == [Decimal("0.40"), Decimal("1.35")]
    await corrected(gateway_pool, event, "-20", OCTOBER_25)
    assert await used(billing_pool) == [Decimal("0.40"), Decimal("0.25")]
    await corrected(gateway_pool, event, "-6", OCTOBER_25)
    assert await used(billing_pool) == [Decimal("0.32"), 0]
    await corrected(gateway_pool, event, "10", OCTOBER_25)
    assert await used(billing_pool) == [Decimal("0.40"), Decimal("0.47")]
    await corrected(gateway_pool, event, "-99", OCTOBER_25, Decimal("-5.445"))
    assert await used(billing_pool) == [Decimal("0.10"), 0], "what calls took is theirs"
    assert await faults(billing_pool) == []


async def test_credit_that_calls_may_take_again_pays_the_corrected_document(
    gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool
) -> None:
    await give(billing_pool, "2.00")
    event = call("acct_a", OCTOBER_5, units="30")
    await accepted(gateway_pool, [report(event)], OCTOBER_25)
    await corrected(gateway_pool, event, "-20", OCTOBER_25)
    await roll_up_all(billing_pool)
    issued = (await close(billing_pool, OCTOBER, ManualClock(NOVEMBER_2))).issued
    assert [one.total for one in issued] == [Decimal("0.55")]
    (found,) = await grants(billing_pool)
    assert found.used == found.applied == Decimal("0.55")
    await all_agree(billing_pool)


@pytest.mark.parametrize("late", [False, True])
async def test_what_an_issued_document_was_paid_with_comes_back_once_with_the_document_that_corrects_it(
    gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool, admin: asyncpg.Connection, late: bool
) -> None:
    """The correction comes before or after its month is issued; November's own usage takes 0.22 of credit at once."""
    await give(billing_pool, "5.00")
    event = call("acct_a", OCTOBER_5, units="20")
    await accepted(gateway_pool, [report(event)], OCTOBER_25)
    if not late:
        await corrected(gateway_pool, event, "-18", OCTOBER_25)
    await roll_up_all(billing_pool)
    await close(billing_pool, OCTOBER, ManualClock(NOVEMBER_2))
    assert await used(billing_pool) == [Decimal("1.10" if late else "0.11")]
    await accepted(gateway_pool, [report(call("acct_a", NOVEMBER_5, units="4"))], NOVEMBER_5)
    if late:
        await corrected(gateway_pool, event, "-18", NOVEMBER_5)
        assert await used(billing_pool) == [Decimal("1.10")], "0.22 for the document that carries it, no more"
        assert await faults(billing_pool) == []
    await _rated(billing_pool, NOVEMBER_5)
    issued = (await close(billing_pool, NOVEMBER, ManualClock(DECEMBER_2))).issued
    assert [one.total for one in issued] == [Decimal("0.00" if late else "0.22")]
    (found,) = await grants(billing_pool)
    assert found.used == found.applied == Decimal("0.33")
    assert await admin.fetchval("SELECT count(*) FROM billing.credit_restoration") == late
    assert await ledger(billing_pool) == {
        "bank": Decimal("5.00"),
        "earnings:address": Decimal("-0.33"),
        "prepaid": Decimal("-4.67"),
    }
    await all_agree(billing_pool)


@pytest.mark.parametrize("kind", ["external", "internal"])
async def test_a_correction_of_an_issued_month_gives_nothing_back_before_its_document(
    gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool, admin: asyncpg.Connection, kind: str
) -> None:
    await admin.execute("SET session_replication_role = replica")
    await admin.execute("UPDATE catalog.account SET kind = $1", kind)
    await give(billing_pool, "5.00")
    event = call("acct_a", OCTOBER_5, units="20")
    await accepted(gateway_pool, [report(event)], OCTOBER_25)
    await roll_up_all(billing_pool)
    await close(billing_pool, OCTOBER, ManualClock(NOVEMBER_2))
    await corrected(gateway_pool, event, "-20", NOVEMBER_5)
    assert await used(billing_pool) == [Decimal("1.10")]
    await _rated(billing_pool, NOVEMBER_5)
    await close(billing_pool, NOVEMBER, ManualClock(DECEMBER_2))
    assert await used(billing_pool) == [0]
    await all_agree(billing_pool)


async def test_a_correction_that_the_next_document_takes_off_its_own_total_comes_back_from_what_that_was_to_cost(
    gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    await give(billing_pool, "5.00")
    event = call("acct_a", OCTOBER_5, units="20")
    await accepted(gateway_pool, [report(event)], OCTOBER_25)
    await roll_up_all(billing_pool)
    await close(billing_pool, OCTOBER, ManualClock(NOVEMBER_2))
    await accepted(gateway_pool, [report(call("acct_a", NOVEMBER_5, units="30"))], NOVEMBER_5)
    await corrected(gateway_pool, event, "-10", NOVEMBER_5)
    assert await used(billing_pool) == [Decimal("2.20")], "at once"
    await _rated(billing_pool, NOVEMBER_5)
    await close(billing_pool, NOVEMBER, ManualClock(DECEMBER_2))
    assert await used(billing_pool) == [Decimal("2.20")]
    assert await admin.fetchval("SELECT count(*) FROM billing.credit_restoration") == 0
    await all_agree(billing_pool)


@pytest.mark.parametrize("category", ["paid", "promotional"])
async def test_what_comes_back_to_a_grant_whose_time_is_over_comes_after_valid_ones_and_lapses_with_the_rest_of_it(
    gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool, category: str
) -> None:
    over = OCTOBER_15 + timedelta(days=1)
    await give(billing_pool, "1.00", valid_until=over, category=category)
    await give(billing_pool, "5.00")
    event = call("acct_a", OCTOBER_15, units="20")
    await accepted(gateway_pool, [report(event)], OCTOBER_15)
    assert await used(billing_pool) == [Decimal("1.00"), Decimal("0.10")]
    await corrected(gateway_pool, event, "-10", OCTOBER_25)
    assert await used(billing_pool) == [Decimal("0.55"), 0]
    await corrected(gateway_pool, event, "-10", OCTOBER_25)
    assert await used(billing_pool) == [0, 0]
    assert await expire_credit(billing_pool, ManualClock(OCTOBER_25)) == 1, "nothing is taken of it any more"
    assert [one.expired for one in await grants(billing_pool)] == [Decimal("1.00"), None]
    await corrected(gateway_pool, event, "10", OCTOBER_25)
    assert await used(billing_pool) == [0, Decimal("0.55")], "what has lapsed pays nothing"
    await roll_up_all(billing_pool)
    await close(billing_pool, OCTOBER, ManualClock(NOVEMBER_2))
    assert await used(billing_pool) == [0, Decimal("0.55")]
    await all_agree(billing_pool)


async def test_what_is_overdrawn_is_made_up_for_by_a_correction(
    gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool
) -> None:
    await give(billing_pool, "1.00", priority=1)
    await give(billing_pool, "1.00", priority=2, valid_until=OCTOBER_15 + timedelta(days=1))
    event = call("acct_a", OCTOBER_15, units="50")
    await accepted(gateway_pool, [report(event)], OCTOBER_25)
    assert await used(billing_pool) == [Decimal("1.75"), Decimal("1.00")]
    await corrected(gateway_pool, event, "-20", OCTOBER_25)
    assert await used(billing_pool) == [Decimal("0.65"), Decimal("1.00")]


async def test_an_account_without_credit_of_its_own_gets_none_by_a_correction(
    gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    event = call("acct_a", OCTOBER_5, units="20")
    await accepted(gateway_pool, [report(event)], OCTOBER_5)
    await give(billing_pool, "5.00")
    await corrected(gateway_pool, event, "-20", OCTOBER_25)
    assert await used(billing_pool) == [0]
    assert await admin.fetchval("SELECT count(*) FROM billing.lease") == 0


async def test_corrections_that_meet_give_back_together_what_was_taken(
    gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool
) -> None:
    await give(billing_pool, "5.00", priority=1)
    await give(billing_pool, "5.00", priority=2)
    events = [call("acct_a", OCTOBER_5, units="20") for _ in range(8)]
    await accepted(gateway_pool, [report(one) for one in events], OCTOBER_25)
    await asyncio.gather(*(corrected(gateway_pool, one, "-19", OCTOBER_25) for one in events))
    assert await used(billing_pool) == [Decimal("0.44"), 0]
    assert await faults(billing_pool) == []


async def test_a_correction_that_meets_the_issue_of_its_month_comes_back_once(
    gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool
) -> None:
    """Whichever comes first: October costs 0.11, or 1.10 and November's document takes 0.99 of it back."""
    await give(billing_pool, "5.00")
    event = call("acct_a", OCTOBER_5, units="20")
    await accepted(gateway_pool, [report(event)], OCTOBER_25)
    await roll_up_all(billing_pool)
    await asyncio.gather(
        close(billing_pool, OCTOBER, ManualClock(NOVEMBER_2)),
        corrected(gateway_pool, event, "-18", NOVEMBER_2),
    )
    assert await faults(billing_pool) == []
    await _rated(billing_pool, NOVEMBER_5)
    await close(billing_pool, NOVEMBER, ManualClock(DECEMBER_2))
    assert await used(billing_pool) == [Decimal("0.11")]
    await all_agree(billing_pool)


async def test_a_correction_that_is_rolled_back_gave_nothing_back(
    gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    await give(billing_pool, "5.00")
    event = call("acct_a", OCTOBER_5, units="20")
    await accepted(gateway_pool, [report(event)], OCTOBER_25)
    async with gateway_pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SET LOCAL ordergate.account = 'acct_a'")
        await correct(connection, event, "-20", OCTOBER_25)
        assert await connection.fetchval("SELECT used FROM billing.allowance") == 0
        await transaction.rollback()
    assert await used(billing_pool) == [Decimal("1.10")]
    assert await admin.fetchval("SELECT count(*) FROM billing.lease") == 1
    assert await faults(billing_pool) == []


async def test_late_usage_that_another_months_document_carries_in_the_end_is_paid_once(
    gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool
) -> None:
    """Reported on a month's last evening, rated in the next one: November never gets a document."""
    await give(billing_pool, "5.00", valid_until=datetime(2027, 1, 1, tzinfo=UTC))
    await use(billing_pool, [call("acct_a", OCTOBER_5)])
    await close(billing_pool, OCTOBER, ManualClock(NOVEMBER_2))
    evening = datetime(2026, 11, 30, 15, 59, tzinfo=UTC)
    await accepted(gateway_pool, [report(call("acct_a", OCTOBER_5, units="10"))], evening)
    await _rated(billing_pool, DECEMBER_2)
    issued = (await close(billing_pool, DECEMBER, ManualClock(JANUARY_2))).issued
    assert [(one.period, one.total) for one in issued] == [("2026-12", Decimal("0.55"))]
    assert await used(billing_pool) == [Decimal("0.61")]
    await all_agree(billing_pool)
    assert await expire_credit(billing_pool, ManualClock(JANUARY_2)) == 1
    assert [one.expired for one in await grants(billing_pool)] == [Decimal("4.39")]


async def test_late_usage_of_a_sandbox_is_for_a_document_within_the_bound_of_its_clock(
    gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    """A clock that was put further ahead before advances were bounded stands 731 days ahead."""
    async with all_accounts(billing_pool) as connection:
        owner = await find_account(connection, "acct_a")
        await grant_credit(
            connection,
            owner,
            "test",
            Decimal("5.00"),
            category="paid",
            priority=1,
            valid_until=None,
            actor="test",
            now=OCTOBER_5,
        )
    await admin.execute(
        "INSERT INTO billing.invoice (id, account_id, environment, period, kind, currency, state, created_at, number, total, "
        "issued_at) VALUES ('inv', 'acct_a', 'test', '2026-10-01', 'invoice', 'CNY', 'issued', $1, 'x', 0, $1)",
        NOVEMBER_2,
    )
    await admin.execute("UPDATE catalog.account SET test_clock = '2038-01-01Z'")
    async with gateway_pool.acquire() as writer, writer.transaction():
        await writer.execute("SET LOCAL ordergate.account = 'acct_a'")
        late = report(call("acct_a", OCTOBER_5, environment="test"))
        await accept(writer, "acct_a", "test", TIMEZONE, [late], NOVEMBER_5)
    assert await admin.fetchval("SELECT period FROM billing.lease") == date(2028, 11, 1)
