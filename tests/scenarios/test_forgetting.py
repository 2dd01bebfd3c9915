"""What nobody needs any more is deleted in bounded steps; what books are compared with, or somebody waits for, never is."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from billing.allowance import Holder, Wanted, take
from billing.desk import close
from billing.lease import forget
from billing.lease.forget import LIMITS_KEPT, forget_limits
from billing.payment.take_in import forget_events
from billing.transaction import all_accounts
from catalog.accounts.user import create_user
from catalog.vocabulary.clock import ManualClock, from_ns
from catalog.vocabulary.period import Period
from gateway.stores import sign_in
from gateway.stores.sign_in import LINK_LASTS, SESSION_LASTS, anybody_signed_in, make_link, use_link
from tests.gateways import RunningGateway
from tests.prepaid_books import NOVEMBER_2, OCTOBER_5, all_agree, give, grants, spend
from tests.usage_books import PROFILE, add_account, add_price, call, use

OCTOBER_1 = date(2026, 10, 1)
LONG_AFTER = datetime(2026, 10, 1, tzinfo=UTC) + LIMITS_KEPT + timedelta(days=1)


async def _limit(admin: asyncpg.Connection, kind: str, starts_on: date = OCTOBER_1, **columns: Any) -> int:
    fields = {"subject": str(uuid4()), "used": Decimal(3), "leased": Decimal(0), **columns}
    limit: int = await admin.fetchval(
        "INSERT INTO billing.allowance (account_id, environment, kind, subject, starts_on, used, leased) "
        "VALUES ('acct_a', 'live', $1, $2, $3, $4, $5) RETURNING id",
        kind,
        fields["subject"],
        starts_on,
        fields["used"],
        fields["leased"],
    )
    return limit


async def _leases(admin: asyncpg.Connection, limit: int, count: int, state: str = "closed") -> None:
    await admin.execute(
        "INSERT INTO billing.lease (allowance_id, account_id, worker_id, journal_id, period, granted, granted_at, expires_at, "
        "state, closed_at) SELECT $1, 'acct_a', gen_random_uuid(), gen_random_uuid(), '2026-10-01', 1, $4::timestamptz, "
        "$4::timestamptz, $3::text, CASE WHEN $3::text = 'closed' THEN $4::timestamptz END FROM generate_series(1, $2)",
        limit,
        count,
        state,
        OCTOBER_5,
    )


async def _left(admin: asyncpg.Connection, limit: int) -> tuple[int, int]:
    """How many rows there are of a limit, and of its leases."""
    row = await admin.fetchrow(
        "SELECT (SELECT count(*) FROM billing.allowance WHERE id = $1), (SELECT count(*) FROM billing.lease WHERE allowance_id = $1)",
        limit,
    )
    assert row is not None
    return row[0], row[1]


async def test_a_limit_is_forgotten_with_its_leases_when_its_period_is_long_over(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    old, young = await _limit(admin, "quota"), await _limit(admin, "budget", date(2026, 10, 3))
    for limit in (old, young):
        await _leases(admin, limit, 3)
    clock = ManualClock(datetime(2026, 10, 1, tzinfo=UTC) + LIMITS_KEPT)
    assert await forget_limits(billing_pool, clock) is False
    assert await _left(admin, old) == (1, 3)
    clock.advance(86_400)
    assert await forget_limits(billing_pool, clock) is False
    assert await _left(admin, old) == (0, 0)
    assert await _left(admin, young) == (1, 3)


async def test_one_step_deletes_so_many_rows_and_says_whether_there_are_more(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forget, "FORGOTTEN_MAX", 4)
    await add_account(admin, "acct_a")
    limit = await _limit(admin, "quota")
    await _leases(admin, limit, 10)
    left = []
    while await forget_limits(billing_pool, ManualClock(LONG_AFTER)):
        left.append(await _left(admin, limit))
    assert left == [(1, 6), (1, 2)]
    assert await _left(admin, limit) == (0, 0)


@pytest.mark.parametrize("state", ["open", "orphaned"])
async def test_a_lease_that_somebody_holds_or_waits_for_keeps_its_limit(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, state: str
) -> None:
    await add_account(admin, "acct_a")
    limit = await _limit(admin, "quota", leased=Decimal(1))
    await _leases(admin, limit, 1, state)
    await _leases(admin, limit, 2)
    await forget_limits(billing_pool, ManualClock(LONG_AFTER))
    assert await _left(admin, limit) == (1, 1)


async def test_credit_and_its_leases_are_kept_for_ever_and_the_books_still_agree(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a", kind="external", profile=PROFILE)
    await add_price(admin, "price")
    grant = await give(billing_pool, "5.00")
    await use(billing_pool, [call("acct_a", OCTOBER_5) for _ in range(20)])
    await spend(admin, grant, "1.10")
    await close(billing_pool, Period(2026, 10), ManualClock(NOVEMBER_2))
    await forget_limits(billing_pool, ManualClock(LONG_AFTER + timedelta(days=3650)))
    assert await admin.fetchval("SELECT count(*) FROM billing.lease") == 1
    assert (await grants(billing_pool))[0].used == Decimal("1.10")
    await all_agree(billing_pool)


@pytest.mark.parametrize(
    ("kind", "leased", "state"), [("credit", 0, "closed"), ("quota", 1, "open"), ("budget", 1, "orphaned")]
)
async def test_the_database_itself_keeps_credit_and_what_is_promised(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, kind: str, leased: int, state: str
) -> None:
    await add_account(admin, "acct_a")
    await _leases(admin, await _limit(admin, kind, leased=Decimal(leased)), 1, state)
    for table in ("lease", "allowance"):
        with pytest.raises(asyncpg.RestrictViolationError):
            async with all_accounts(billing_pool) as connection:
                await connection.execute(f"DELETE FROM billing.{table}")  # noqa: S608 - one of two


async def test_a_forgotten_limit_that_is_asked_for_again_begins_from_the_stored_calls(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, gateway_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await add_price(admin, "price")
    await use(billing_pool, [call("acct_a", OCTOBER_5) for _ in range(7)])
    limit = await _limit(admin, "quota", subject="address/validate month", used=Decimal(7))
    await forget_limits(billing_pool, ManualClock(LONG_AFTER))
    assert await _left(admin, limit) == (0, 0)
    starts_at = datetime(2026, 9, 30, 16, tzinfo=UTC)
    wanted = Wanted(
        "acct_a",
        "live",
        "quota",
        "address/validate month",
        OCTOBER_1,
        starts_at,
        OCTOBER_1,
        Decimal(1),
        limit=Decimal(8),
        counts="address/validate",
    )
    async with gateway_pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL ordergate.account = 'acct_a'")
        taken = await take(connection, Holder(uuid4(), uuid4()), wanted, OCTOBER_5, OCTOBER_5)
    assert (taken.standing.used, [one.amount for one in taken.leases]) == (Decimal(7), [Decimal(1)])


async def test_events_of_the_provider_are_forgotten_when_they_cannot_come_again_and_held_ones_are_not(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    for state in ("done", "held", "waiting"):
        for days in (34, 36):
            await admin.execute(
                "INSERT INTO billing.webhook_event VALUES ($1, 'invoice.paid', 'invoice', 'in_1', NULL, $2, $2, $3, 1, $2, '')",
                f"evt_{state}_{days}",
                NOVEMBER_2 - timedelta(days=days),
                state,
            )
    assert await forget_events(billing_pool, ManualClock(NOVEMBER_2)) is False
    rows = await admin.fetch("SELECT id FROM billing.webhook_event ORDER BY id")
    assert [row["id"] for row in rows] == [
        *("evt_done_34", "evt_held_34", "evt_held_36", "evt_waiting_34", "evt_waiting_36"),
    ]


@pytest.mark.parametrize(
    ("ago", "left"), [(timedelta(0), (5, 5)), (SESSION_LASTS, (5, 0)), (LINK_LASTS, (0, 0))]
)
async def test_links_and_sessions_are_forgotten_when_their_time_is_over_and_who_signed_in_is_not(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch, ago: timedelta, left: tuple[int, int]
) -> None:
    monkeypatch.setattr(sign_in, "FORGOTTEN_MAX", 2)
    pool, then = gateway.gateway.pool, from_ns(gateway.clock.now_ns()) - ago
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL ordergate.account = '*'")
        user = await create_user(
            connection, email="a@example.com", role="operator", accounts=(), actor="tests", now=then
        )
        for _ in range(5):
            token = await make_link(connection, user, actor="tests", now=then)
            assert await use_link(connection, token, then)
    await gateway.gateway.forget_expired()
    rows = await gateway.admin.fetchrow(
        "SELECT (SELECT count(*) FROM gateway.sign_in_link), (SELECT count(*) FROM gateway.session)"
    )
    assert rows is not None
    assert tuple(rows) == left
    async with pool.acquire() as connection, connection.transaction():
        assert await anybody_signed_in(connection), "or each start would print a new link for an operator"
