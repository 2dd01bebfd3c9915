"""The usage row of a call that changed state stands or falls with its effect."""

from datetime import timedelta

import asyncpg
import pytest

from billing.record import record
from billing.store.partitions import DAYS_AHEAD, ensure_upcoming
from billing.transaction import Connection
from tests.usage_calls import NOON, usage_event


@pytest.fixture(autouse=True)
async def _days(billing_pool: asyncpg.Pool) -> None:
    async with billing_pool.acquire() as connection:
        await ensure_upcoming(connection, NOON.date())


async def _scope(connection: Connection, account_id: str) -> None:
    await connection.execute("SELECT set_config('ordergate.account', $1, true)", account_id)


async def test_the_row_is_committed_with_the_callers_transaction(
    gateway_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    event = usage_event(units="3")
    async with gateway_pool.acquire() as connection, connection.transaction():
        await _scope(connection, "acct_a")
        await record(connection, event)
        assert await admin.fetchval("SELECT count(*) FROM billing.usage_event") == 0

    row = await admin.fetchrow("SELECT id, units, recorded_by FROM billing.usage_event")
    assert row is not None
    assert tuple(row) == (event.uuid, 3, "transaction")


async def test_the_row_goes_when_the_effect_is_rolled_back(
    gateway_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    async with gateway_pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await _scope(connection, "acct_a")
        await record(connection, usage_event())
        await transaction.rollback()

    assert await admin.fetchval("SELECT count(*) FROM billing.usage_event") == 0


async def test_usage_is_not_recorded_without_a_transaction(gateway_pool: asyncpg.Pool) -> None:
    async with gateway_pool.acquire() as connection:
        with pytest.raises(AssertionError, match="together with its effect"):
            await record(connection, usage_event())


async def test_one_account_cannot_record_usage_of_another(gateway_pool: asyncpg.Pool) -> None:
    async with gateway_pool.acquire() as connection, connection.transaction():
        await _scope(connection, "acct_b")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await record(connection, usage_event(account_id="acct_a"))


async def test_one_event_cannot_be_recorded_twice(gateway_pool: asyncpg.Pool) -> None:
    event = usage_event()
    async with gateway_pool.acquire() as connection, connection.transaction():
        await _scope(connection, "acct_a")
        await record(connection, event)
        with pytest.raises(asyncpg.UniqueViolationError):
            await record(connection, event)


async def test_calls_go_on_for_two_weeks_without_the_billing_process(
    gateway_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    for ahead in range(-1, DAYS_AHEAD + 1):
        async with gateway_pool.acquire() as connection, connection.transaction():
            await _scope(connection, "acct_a")
            await record(connection, usage_event(NOON + timedelta(days=ahead)))

    assert await admin.fetchval("SELECT count(*) FROM billing.usage_event") == DAYS_AHEAD + 2
