"""Like calls are set aside of their leases together: nobody is worse off for it, and every cent and unit stays where it belongs."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal

import asyncpg
import pytest

from catalog.accounts.account import find_account
from catalog.vocabulary.clock import from_ns
from catalog.vocabulary.problem import Problem
from deploy.database import Database
from gateway.directory import AllowancesRecord, BudgetRecord
from tests.allowances import budget, grant, standing
from tests.lease_workers import NOON, PRICE, Workers, quota, workers_of_a_new_account

_CENT = Decimal("0.01")
_IN_ADVANCE = AllowancesRecord(frozenset({"live"}), ())


@pytest.fixture
async def workers(gateway_pool: asyncpg.Pool, admin: asyncpg.Connection) -> AsyncIterator[Workers]:
    async with workers_of_a_new_account(gateway_pool, admin) as made:
        yield made


async def in_advance(workers: Workers, database: Database, admin: asyncpg.Connection, amount: str) -> None:
    """Credit for the workers' account."""
    await grant(database, await find_account(admin, workers.account_id), amount, NOON)


async def test_a_dear_call_gets_what_was_set_aside_for_cheap_ones_without_waiting(
    workers: Workers, database: Database, admin: asyncpg.Connection
) -> None:
    await in_advance(workers, database, admin, "1.00")
    store, permit = await workers.add(), workers.permit(allowances=_IN_ADVANCE)
    for _ in range(3):
        await workers.call(store, permit, _CENT)
    at_ns = workers.clock.monotonic_ns()
    await workers.call(store, permit, Decimal("0.97"))
    assert workers.clock.monotonic_ns() == at_ns
    with pytest.raises(Problem, match=r"1\.00 used"):
        await workers.reserved(store, permit, _CENT)


async def test_the_last_calls_of_a_limit_get_what_was_set_aside_for_another_key_without_waiting(
    workers: Workers, admin: asyncpg.Connection
) -> None:
    store, permit, other = (
        await workers.add(),
        workers.permit(quota(80)),
        workers.permit(quota(80), key_id="another"),
    )
    for _ in range(3):
        await workers.call(store, permit)
    at_ns = workers.clock.monotonic_ns()
    for number in range(77):
        await workers.call(store, other, Decimal(number))
    assert workers.clock.monotonic_ns() == at_ns
    await workers.turns(2)
    assert await standing(admin, "quota") == (80, 0)


async def test_another_worker_gets_what_is_set_aside_and_not_in_use(
    workers: Workers, database: Database, admin: asyncpg.Connection
) -> None:
    await in_advance(workers, database, admin, "1.00")
    busy, other, permit = await workers.add(), await workers.add(), workers.permit(allowances=_IN_ADVANCE)
    for _ in range(3):
        await workers.call(busy, permit, _CENT)
    await workers.call(other, permit, Decimal("0.97"))
    await workers.turns(2)
    assert await standing(admin, "credit") == (Decimal("1.00"), 0)


@pytest.mark.parametrize("meanwhile", ["nothing", "a turn"])
async def test_each_call_that_was_set_aside_with_others_is_settled_by_its_own_ending(
    workers: Workers, database: Database, admin: asyncpg.Connection, meanwhile: str
) -> None:
    await in_advance(workers, database, admin, "10.00")
    store, permit = await workers.add(), workers.permit(quota(1000), allowances=_IN_ADVANCE)
    for _ in range(2):
        await workers.call(store, permit, _CENT)
    as_reserved, cheaper, failed, refused = [await workers.reserved(store, permit, _CENT) for _ in range(4)]
    if meanwhile == "a turn":
        await workers.turns()
    assert [taken for _, taken in as_reserved.capture(True, _CENT)] == ["1", "0.01"]
    assert [taken for _, taken in cheaper.capture(True, Decimal("0.004"))] == ["1", "0.004"]
    assert failed.capture(False, Decimal(0)) == ()
    for hold in (as_reserved, cheaper, failed):
        hold.confirm()
    refused.void()
    await workers.turns(2)
    assert await standing(admin, "credit") == (Decimal("0.034"), 0)
    assert await standing(admin, "quota") == (4, 0)


async def test_a_record_names_a_lease_of_each_limit_with_what_was_taken_of_it(
    workers: Workers, database: Database, admin: asyncpg.Connection
) -> None:
    await in_advance(workers, database, admin, "100.00")
    now = from_ns(workers.clock.now_ns())
    made = await budget(database, await find_account(admin, workers.account_id), "100.00", now)
    record = BudgetRecord(made.id, "live", "account", workers.account_id, made.amount)
    permit = workers.permit(quota(1000), allowances=AllowancesRecord(frozenset({"live"}), (record,)))
    store = await workers.add()
    kinds = {}
    for _ in range(20):
        hold = await workers.reserved(store, permit)
        taken = hold.capture(True, PRICE)
        hold.confirm()
        for lease_id, amount in taken:
            kinds[await _kind(admin, lease_id)] = amount
        assert kinds == {"quota": "1", "budget": "0.055", "credit": "0.055"}
    await workers.turns(2)
    assert await standing(admin, "quota") == (20, 0)
    assert await standing(admin, "budget") == (20 * PRICE, 0)
    assert await standing(admin, "credit") == (20 * PRICE, 0)


async def test_what_is_set_aside_serves_no_call_of_the_next_day(
    workers: Workers, admin: asyncpg.Connection
) -> None:
    store, permit = await workers.add(), workers.permit(quota(1000))
    workers.clock.advance(12 * 3600 - 1)
    for _ in range(5):
        await workers.call(store, permit)
    workers.clock.advance(1)
    await workers.call(store, permit)
    await workers.turns(2)
    rows = await admin.fetch("SELECT used, leased FROM billing.allowance ORDER BY starts_on")
    assert [tuple(row) for row in rows] == [(5, 0), (1, 0)]


async def test_what_is_set_aside_by_a_limit_that_is_lowered_serves_nobody(workers: Workers) -> None:
    store, permit = await workers.add(), workers.permit(quota(1000))
    for _ in range(5):
        await workers.call(store, permit)
    workers.hold(
        store, workers.permit(quota(6), key_id="another")
    ).void()  # by another key it is known to be lower
    await workers.call(store, permit)
    with pytest.raises(Problem, match="6 calls: 6 used"):
        await workers.reserved(store, permit)


async def test_what_is_set_aside_of_a_grant_is_of_no_use_once_the_grant_is_over(
    workers: Workers, database: Database, admin: asyncpg.Connection
) -> None:
    account = await find_account(admin, workers.account_id)
    await grant(database, account, "10.00", NOON, valid_until=NOON + timedelta(seconds=20))
    store, permit = await workers.add(), workers.permit(allowances=_IN_ADVANCE)
    for _ in range(5):
        await workers.call(store, permit, _CENT)
    workers.clock.advance(20)
    with pytest.raises(Problem) as refused:
        await workers.reserved(store, permit, _CENT)
    assert refused.value.type.name == "credit-exhausted"


async def test_what_is_set_aside_lasts_no_longer_than_its_lease(
    workers: Workers, admin: asyncpg.Connection
) -> None:
    store, permit = await workers.add(), workers.permit(quota(1000))
    for _ in range(5):
        await workers.call(store, permit)
    workers.clock.advance(30)
    hold = workers.hold(store, permit)
    assert not hold.reserve(PRICE), "it has to ask"
    await hold.acquire()
    hold.void()
    assert await admin.fetchval("SELECT count(*) FROM billing.lease") == 2


async def _kind(admin: asyncpg.Connection, lease_id: int) -> str:
    kind: str = await admin.fetchval(
        "SELECT kind FROM billing.allowance JOIN billing.lease ON allowance.id = allowance_id WHERE lease.id = $1",
        lease_id,
    )
    return kind
