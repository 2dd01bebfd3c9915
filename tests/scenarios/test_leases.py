"""What workers hold of a limit: who may use it and for how long, and how it comes back whatever happens to a call."""

import asyncio
import gc
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from billing.allowance import take
from billing.journal import Journal, JournalDamaged
from billing.lease.settle import settle_leases
from catalog.accounts.account import find_account
from catalog.vocabulary.clock import from_ns
from catalog.vocabulary.problem import Problem
from deploy.database import Database
from gateway.directory import AllowancesRecord, BudgetRecord
from gateway.proofs import Permit
from gateway.stores import leases
from tests.allowances import budget, grant, nothing_held, publish_quota, standing, until
from tests.gateways import BERLIN, RunningGateway
from tests.lease_workers import PRICE, Workers, quota, workers_of_a_new_account

_TO_MIDNIGHT_S = 12 * 3600


@pytest.fixture
async def workers(gateway_pool: asyncpg.Pool, admin: asyncpg.Connection) -> AsyncIterator[Workers]:
    async with workers_of_a_new_account(gateway_pool, admin) as made:
        yield made


async def test_what_one_worker_holds_is_returned_when_another_needs_it(
    workers: Workers, admin: asyncpg.Connection
) -> None:
    busy, idle, permit = await workers.add(), await workers.add(), workers.permit(quota(4))
    for hold in [await workers.reserved(idle, permit) for _ in range(4)]:
        hold.void()
    assert await standing(admin, "quota") == (0, 4)
    for _ in range(4):
        await workers.call(busy, permit)
    with pytest.raises(Problem, match="4 used, 0 reserved, 0 remaining"):
        await workers.reserved(busy, permit)


async def test_a_limit_that_other_calls_hold_is_refused_with_a_short_wait(workers: Workers) -> None:
    busy, idle, permit = await workers.add(), await workers.add(), workers.permit(quota(1))
    in_flight = await workers.reserved(idle, permit)
    with pytest.raises(Problem) as refused:
        await workers.reserved(busy, permit)
    assert refused.value.retry_after_s == 1
    assert "Other calls hold 1 of it: repeat this one in 1 s." in refused.value.detail
    assert refused.value.extra["allowance"]["reserved"] == "1"
    in_flight.void()
    workers.clock.advance(0.3)
    await workers.call(busy, permit)


async def test_a_lease_that_arrives_after_midnight_serves_no_call_of_the_new_day(
    workers: Workers, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, permit = await workers.add(), workers.permit(quota(200))
    workers.clock.advance(_TO_MIDNIGHT_S - 1)
    await workers.call(store, permit)
    granted, goes_on = asyncio.Event(), asyncio.Event()

    async def take_slowly(*asked: Any) -> Any:
        taken = await take(*asked)
        granted.set()
        await goes_on.wait()
        return taken

    monkeypatch.setattr(leases, "take", take_slowly)
    for _ in range(75):
        await workers.call(store, permit)
    await granted.wait()  # the next lease was asked for ahead of need, for the old day
    workers.clock.advance(2)
    early = asyncio.create_task(workers.call(store, permit))
    await asyncio.sleep(0)
    goes_on.set()
    await early
    await workers.turns()
    await workers.turns(2)
    rows = await admin.fetch("SELECT used, leased FROM billing.allowance ORDER BY starts_on")
    assert [tuple(row) for row in rows] == [(76, 0), (1, 0)], "each day has counted its own calls"


async def test_a_limit_that_is_lowered_holds_at_once_whatever_was_granted_before(workers: Workers) -> None:
    store = await workers.add()
    await workers.call(store, workers.permit(quota(1000)))
    lowered = workers.permit(quota(3))
    for _ in range(2):
        await workers.call(store, lowered)
    with pytest.raises(Problem, match="3 calls: 3 used"):
        await workers.reserved(store, lowered)


async def test_a_grant_by_terms_that_were_changed_meanwhile_serves_nobody(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await workers.add()

    async def take_while_it_is_lowered(*asked: Any) -> Any:
        taken = await take(*asked)
        workers.hold(store, workers.permit(quota(2)))
        return taken

    with monkeypatch.context() as patched:
        patched.setattr(leases, "take", take_while_it_is_lowered)
        await workers.call(store, workers.permit(quota(1000)))
    await workers.call(store, workers.permit(quota(2)))
    with pytest.raises(Problem, match="2 used, 0 reserved"):
        await workers.reserved(store, workers.permit(quota(2)))


async def test_a_budget_that_is_lowered_holds_at_once_too(
    workers: Workers, database: Database, admin: asyncpg.Connection
) -> None:
    store, now = await workers.add(), from_ns(workers.clock.now_ns())
    account = await find_account(admin, workers.account_id)

    async def permit(amount: str) -> Permit:
        made = await budget(database, account, amount, now)
        record = BudgetRecord(made.id, "live", "account", account.id, made.amount)
        return workers.permit(allowances=AllowancesRecord(frozenset(), (record,)))

    await workers.call(store, await permit("1000.00"))
    lowered = await permit("0.12")
    await workers.call(store, lowered)
    with pytest.raises(Problem, match=r"0\.12 CNY: 0\.11 used, 0\.00 reserved, 0\.01 remaining"):
        await workers.reserved(store, lowered)


async def test_a_lease_whose_answer_was_lost_comes_back(
    workers: Workers, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, permit = await workers.add(), workers.permit(quota(10))

    async def take_and_lose(connection: Any, *asked: Any) -> Any:
        await take(connection, *asked)
        await connection.execute("COMMIT")
        raise ConnectionResetError

    with monkeypatch.context() as patched:
        patched.setattr(leases, "take", take_and_lose)
        with pytest.raises(Problem, match="cannot be asked for just now"):
            await workers.reserved(store, permit)
    assert await standing(admin, "quota") == (0, 5)
    await workers.turns()
    assert await standing(admin, "quota") == (0, 0)


async def test_a_call_that_is_cancelled_gives_back_what_it_had_reserved(
    workers: Workers, admin: asyncpg.Connection
) -> None:
    store, permit = await workers.add(), workers.permit(quota(4))

    async def call() -> None:
        hold = await workers.reserved(store, permit)
        await asyncio.Event().wait()
        hold.void()

    calls = [asyncio.create_task(call()) for _ in range(4)]
    await until(lambda: _is(admin, "quota", (0, 4)))
    for one in calls:
        one.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    del one, calls
    gc.collect()  # what a task has raised keeps its frames for as long as nobody looks
    await workers.turns(2)
    assert await standing(admin, "quota") == (0, 0)


async def test_a_call_that_is_cancelled_while_its_record_is_on_its_way_is_left_to_the_recorded_calls(
    workers: Workers, admin: asyncpg.Connection
) -> None:
    store, permit = await workers.add(), workers.permit(quota(4))
    hold = await workers.reserved(store, permit)
    ((lease_id, taken),) = hold.capture(True, PRICE)
    del hold
    await workers.turns(2)
    assert taken == "1"
    assert await admin.fetchval("SELECT state FROM billing.lease WHERE id = $1", lease_id) == "orphaned"
    assert (await standing(admin, "quota"))[1] > 0, (
        "nobody knows whether it counts, so nobody else may have it"
    )


async def test_what_a_call_holds_is_not_given_away_however_long_it_takes(
    workers: Workers, admin: asyncpg.Connection
) -> None:
    store, other, permit = await workers.add(), await workers.add(), workers.permit(quota(1))
    slow = await workers.reserved(store, permit)
    await workers.turns(600)
    with pytest.raises(Problem, match="1 reserved"):
        await workers.reserved(other, permit)
    slow.capture(True, PRICE)
    slow.confirm()
    await workers.turns()
    assert await standing(admin, "quota") == (1, 0)


async def test_a_call_that_may_cost_any_amount_is_not_paid_from_credit_but_counts_against_a_quota(
    workers: Workers, database: Database, admin: asyncpg.Connection
) -> None:
    store, account = await workers.add(), await find_account(admin, workers.account_id)
    await grant(database, account, "100.00", from_ns(workers.clock.now_ns()))
    in_advance = AllowancesRecord(frozenset({"live"}), ())
    with pytest.raises(Problem) as refused:
        workers.hold(store, workers.permit(allowances=in_advance)).reserve(None)
    assert (refused.value.type.name, refused.value.type.status) == ("charge-unbounded", 402)
    assert refused.value.extra["allowance"] == {"kind": "credit", "subject": "", "unit": "CNY"}
    hold = workers.hold(store, workers.permit(quota(9)))
    assert not hold.reserve(None), "it asks for a unit"
    await hold.acquire()
    assert [amount for _, amount in hold.capture(True, Decimal(7))] == ["1"]


async def test_a_journal_that_is_damaged_holds_up_its_own_leases_only(
    workers: Workers, admin: asyncpg.Connection, billing_pool: asyncpg.Pool, tmp_path: Path
) -> None:
    journals = [
        await Journal.open(tmp_path / name, clock=workers.clock, segment_bytes=128 * 1024, reserve_bytes=0)
        for name in ("worker-0", "worker-1")
    ]
    permit = workers.permit(quota(8))
    held = [await workers.reserved(await workers.add(one.journal_id), permit) for one in journals]
    assert await standing(admin, "quota") == (0, 5)
    for journal in journals:
        await journal.close()
    segment = next((tmp_path / "worker-0").glob("*.journal"))
    segment.write_bytes(b"\1" * 512 + segment.read_bytes()[512:])
    workers.clock.advance(10)
    for _ in range(2):
        with pytest.raises(JournalDamaged):
            await settle_leases(billing_pool, tmp_path, None, workers.clock)
    open_ones = await admin.fetch("SELECT journal_id FROM billing.lease WHERE state <> 'closed'")
    assert [row["journal_id"] for row in open_ones] == [journals[0].journal_id]
    del held


async def test_leases_go_on_being_looked_through_after_a_turn_that_broke(
    gateway: RunningGateway,
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await publish_quota(gateway, 1000)
    key = await gateway.create_key(await gateway.open_account())
    broken = asyncio.Event()

    async def breaks(*_: Any) -> Any:
        broken.set()
        raise AttributeError("an error of our own")

    with monkeypatch.context() as patched:
        patched.setattr(leases, "open_leases", breaks)
        assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200
        async with asyncio.timeout(5):
            await broken.wait()
    await until(lambda: nothing_held(admin))
    assert await standing(admin, "quota") == (1, 0)
    assert "background work failed and is tried again" in caplog.messages


async def _is(admin: asyncpg.Connection, kind: str, expected: tuple[int, int]) -> bool:
    return await standing(admin, kind) == expected
