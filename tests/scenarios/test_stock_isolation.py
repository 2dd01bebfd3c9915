"""Whose stock it is: accounts, environments and database roles."""

import asyncpg
import pytest

from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.problem import BusinessRefusal, CallerFault
from tests.stock_calls import START, StockCalls, create_account

TABLES = ("level", "movement", "reservation", "reservation_line")


@pytest.fixture
async def calls(admin: asyncpg.Connection, gateway_pool: asyncpg.Pool) -> dict[str, StockCalls]:
    """Two accounts, the first of them live and in test; only its live side has stock, part of it reserved."""
    clock = ManualClock(START)
    for account in ("acct_a", "acct_b"):
        await create_account(admin, account)
    owner = StockCalls(gateway_pool, clock)
    await owner.stock("A", "N", 10)
    await owner("reserve", reservation_id="r1", lines=[{"sku": "A", "quantity": 4}], ttl_s=60)
    return {
        "owner": owner,
        "other account": StockCalls(gateway_pool, clock, "acct_b"),
        "test environment": StockCalls(gateway_pool, clock, "acct_a", "test"),
    }


@pytest.mark.parametrize("stranger", ["other account", "test environment"])
async def test_stock_is_seen_and_used_by_its_owner_only(calls: dict[str, StockCalls], stranger: str) -> None:
    call = calls[stranger]
    assert (await call("availability", skus=["A"])).levels == ()
    with pytest.raises(BusinessRefusal):
        await call("reserve", reservation_id="r2", lines=[{"sku": "A", "quantity": 1}], ttl_s=60)
    for operation in ("confirm", "release"):
        with pytest.raises(CallerFault, match="no reservation"):
            await call(operation, reservation_id="r1")
    assert await calls["owner"].available("A") == 6


@pytest.mark.parametrize("stranger", ["other account", "test environment"])
async def test_ids_and_keys_are_each_owners_own(calls: dict[str, StockCalls], stranger: str) -> None:
    call = calls[stranger]
    await call.stock("A", "N", 3)
    reply = await call("reserve", reservation_id="r1", lines=[{"sku": "A", "quantity": 3}], ttl_s=60)
    assert reply.lines[0].reserved == 3
    assert (await call.available("A"), await calls["owner"].available("A")) == (0, 6)


async def test_rows_show_only_in_their_accounts_scope(
    calls: dict[str, StockCalls], reader_pool: asyncpg.Pool
) -> None:
    seen = {}
    for scope in ("acct_a", "acct_b", "", "*"):
        async with reader_pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('ordergate.account', $1, true)", scope)
            seen[scope] = {
                table
                for table in TABLES
                if await connection.fetchval(f"SELECT count(*) FROM stock.{table}")  # noqa: S608
            }
    assert seen == {"acct_a": set(TABLES), "acct_b": set(), "": set(), "*": set(TABLES)}


async def test_the_gateway_cannot_rewrite_history(
    calls: dict[str, StockCalls], gateway_pool: asyncpg.Pool
) -> None:
    for statement in (
        "DELETE FROM stock.movement",
        "UPDATE stock.movement SET on_hand_change = 0",
        "DELETE FROM stock.level",
        "UPDATE stock.level SET account_id = 'acct_b'",
        "DELETE FROM stock.reservation",
        "UPDATE stock.reservation SET owner_id = 'acct_b'",
        "DELETE FROM stock.rule_change",
        "UPDATE stock.rule_change SET document = '{}'",
        "UPDATE stock.channel SET grantee_id = 'acct_b'",
        "UPDATE stock.reservation_line SET quantity = 1",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await gateway_pool.execute(statement)


async def test_not_even_the_administrator_can_change_a_movement(
    calls: dict[str, StockCalls], admin: asyncpg.Connection
) -> None:
    with pytest.raises(asyncpg.RestrictViolationError, match="only grows"):
        await admin.execute("UPDATE stock.movement SET on_hand_change = 0")


async def test_the_database_itself_refuses_to_oversell(
    calls: dict[str, StockCalls], admin: asyncpg.Connection
) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await admin.execute("UPDATE stock.level SET reserved = on_hand + 1")
