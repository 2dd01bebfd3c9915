"""Calls that meet in one line share a commit; each is answered, recorded and billed as if it had been alone."""

import asyncio
from collections import Counter
from hashlib import sha256
from typing import Any

import httpx
import msgspec
import pytest

from tests.combining import OPERATION, Adjusting, adjustment
from tests.gateways import RunningGateway
from tests.scenarios.test_call_path import journaled


@pytest.fixture
def adjusting(gateway: RunningGateway) -> Adjusting:
    return Adjusting(gateway)


class Meeting:
    """Calls of one key that arrive while a first one is in flight, so that they are the next batch."""

    def __init__(self, gateway: RunningGateway, adjusting: Adjusting, key: str) -> None:
        self._gateway, self._adjusting, self._key = gateway, adjusting, key
        self._tasks: list[asyncio.Task[httpx.Response]] = []

    async def __aenter__(self) -> "Meeting":
        """A first call is in its transaction, and stays there until the end of the block."""
        self._adjusting.go.clear()
        self.first = self.send(adjustment(reason="held"), "first")
        await until(lambda: bool(self._adjusting.batches))
        return self

    async def __aexit__(self, *_: object) -> None:
        """All have arrived; the first is let go, and the others are one batch."""
        await self.arrived(len(self._tasks) - 1)
        self._adjusting.go.set()

    def send(self, body: dict[str, Any], idempotency_key: str) -> "asyncio.Task[httpx.Response]":
        """A call on its way."""
        call = self._gateway.call(self._key, OPERATION, body, Idempotency_Key=idempotency_key)
        self._tasks.append(asyncio.create_task(call))
        return self._tasks[-1]

    async def arrived(self, count: int) -> None:
        """Returns when so many wait in lines."""
        lines = self._gateway.gateway.pipeline._combiner._lines
        await until(lambda: sum(len(line.waiting) for line in lines.values()) == count)

    async def replies(self) -> list[httpx.Response]:
        """What was answered, in the order of sending, the first call's reply first."""
        return list(await asyncio.gather(*self._tasks))


async def until(condition: Any) -> None:
    """Wait for what comes about within seconds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


async def rows(gateway: RunningGateway, of: str = "class") -> list[Any]:
    """A column of the usage rows that were written with their effects."""
    found = await gateway.admin.fetch(f"SELECT {of} AS it FROM billing.usage_event")  # noqa: S608
    return [row["it"] for row in found]


async def on_hand(gateway: RunningGateway) -> int:
    """Units of A."""
    units: int = await gateway.admin.fetchval("SELECT sum(on_hand)::bigint FROM stock.level WHERE sku = 'A'")
    return units


def kinds(replies: list[httpx.Response]) -> list[str]:
    """How each ended: its status, and the problem's name where it is one."""
    return [
        f"{reply.status_code} {reply.json()['type'].rpartition('/')[2]}"
        if reply.status_code != 200
        else "200 replayed"
        if "idempotent-replayed" in reply.headers
        else "200"
        for reply in replies
    ]


async def test_calls_that_meet_are_one_transaction_and_each_has_its_own_reply_row_and_receipt(
    gateway: RunningGateway, adjusting: Adjusting
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    async with Meeting(gateway, adjusting, key) as meeting:
        for number in range(20):
            meeting.send(adjustment(), f"key-{number}")
    replies = await meeting.replies()
    assert kinds(replies) == ["200"] * 21
    assert adjusting.batches == [1, 20]
    assert [reply.json()["on_hand"] for reply in replies] == list(range(1, 22)), "in the order of arrival"
    assert {reply.headers["ordergate-units"] for reply in replies} == {"1"}
    receipts = {reply.headers["ordergate-call-id"] for reply in replies}
    assert receipts == {f"call_{id_.hex}" for id_ in await rows(gateway, "id")}
    assert set(Counter(await rows(gateway, "stored_xid::text")).values()) == {1, 20}
    assert await rows(gateway) == ["ok"] * 21
    again = await gateway.call(key, OPERATION, adjustment(), Idempotency_Key="key-7")
    assert again.content == replies[8].content and kinds([again]) == ["200 replayed"]


async def test_in_one_batch_a_key_has_one_effect_and_its_repetitions_are_answered_as_ever(
    gateway: RunningGateway, adjusting: Adjusting
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    early = await gateway.call(key, OPERATION, adjustment(5), Idempotency_Key="early")
    adjusting.batches.clear()
    async with Meeting(gateway, adjusting, key) as meeting:
        meeting.send(adjustment(5), "early")
        meeting.send(adjustment(6), "early")
        meeting.send(adjustment(7), "new")
        meeting.send(adjustment(7), "new")
        meeting.send(adjustment(8), "new")
        meeting.send(adjustment(), "first")
    replies = await meeting.replies()
    assert kinds(replies) == [
        "200",
        "200 replayed",
        "422 idempotency-key-reused",
        "200",
        "409 idempotency-in-flight",
        "409 idempotency-in-flight",
        "422 idempotency-key-reused",
    ]
    assert replies[1].content == early.content
    assert [reply.headers.get("retry-after") for reply in replies[4:6]] == ["1", "1"]
    assert await on_hand(gateway) == 5 + 1 + 7
    assert len(await rows(gateway)) == 3


async def test_a_refused_call_of_a_batch_is_on_record_without_an_effect_and_is_replayed(
    gateway: RunningGateway, adjusting: Adjusting
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    async with Meeting(gateway, adjusting, key) as meeting:
        meeting.send(adjustment(3), "in")
        meeting.send(adjustment(-9), "out")
        meeting.send(adjustment(0), "nothing")
        meeting.send(adjustment(4), "more")
    replies = await meeting.replies()
    assert kinds(replies) == ["200", "200", "409 insufficient-stock", "400 invalid-input", "200"]
    assert adjusting.batches == [1, 4]
    assert Counter(await rows(gateway)) == {"ok": 3, "declined": 1, "caller_error": 1}
    assert await on_hand(gateway) == 8
    again = await gateway.call(key, OPERATION, adjustment(-9), Idempotency_Key="out")
    assert again.content == replies[2].content


@pytest.mark.parametrize("breaks", ["breaks", "unencodable"])
async def test_a_call_that_breaks_fails_alone(
    gateway: RunningGateway, adjusting: Adjusting, breaks: str
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    async with Meeting(gateway, adjusting, key) as meeting:
        meeting.send(adjustment(2), "before")
        meeting.send(adjustment(4, reason=breaks), "poison")
        meeting.send(adjustment(8), "after")
    replies = await meeting.replies()
    assert kinds(replies) == ["200", "200", "500 internal-error", "200"]
    assert adjusting.batches == [1, 3, 1, 1, 1]
    assert await rows(gateway) == ["ok"] * 3
    assert await on_hand(gateway) == 1 + 2 + 8
    (event,) = journaled(gateway)
    assert (event.class_, event.billable) == ("provider_error", False)
    assert f"call_{event.id}" == replies[2].headers["ordergate-call-id"]


async def test_a_call_that_hangs_is_answered_at_its_deadline_and_its_neighbours_in_time(
    gateway: RunningGateway, adjusting: Adjusting
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    async with Meeting(gateway, adjusting, key) as meeting:
        hanging = meeting.send(adjustment(2, "hangs", "B"), "hangs")
        neighbour = meeting.send(adjustment(4), "neighbour")
    assert kinds([await neighbour]) == ["200"]
    assert not hanging.done()
    assert kinds([await gateway.call(key, OPERATION, adjustment(), Idempotency_Key="next")]) == ["200"]
    assert kinds([await hanging]) == ["504 deadline-exceeded"]
    assert await rows(gateway) == ["ok"] * 3
    assert [event.class_ for event in journaled(gateway)] == ["provider_error"]


async def test_a_deadline_that_passes_in_the_line_is_answered_with_nothing_done_and_one_at_the_commit_waits(
    gateway: RunningGateway, adjusting: Adjusting
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    in_the_way = gateway.admin.transaction()
    await in_the_way.start()
    await gateway.admin.execute("LOCK TABLE billing.usage_event IN SHARE MODE")
    adjusting.go.set()
    committing = asyncio.create_task(gateway.call(key, OPERATION, adjustment(), Idempotency_Key="first"))
    await until(lambda: bool(adjusting.batches))
    late = await gateway.call(key, OPERATION, adjustment(), Idempotency_Key="late")
    assert kinds([late]) == ["504 deadline-exceeded"]
    assert not committing.done(), "its deadline has passed as well, but it is not known yet how it ends"
    await in_the_way.rollback()
    assert kinds([await committing]) == ["200"]
    assert adjusting.batches == [1]
    assert (await rows(gateway), await on_hand(gateway)) == (["ok"], 1)
    (event,) = journaled(gateway)
    assert (f"call_{event.id}", event.class_, event.status) == (
        late.headers["ordergate-call-id"],
        "provider_error",
        504,
    )
    assert kinds([await gateway.call(key, OPERATION, adjustment(), Idempotency_Key="late")]) == ["200"]


async def test_a_line_that_is_full_sheds_at_once_with_a_time_to_come_back(
    gateway: RunningGateway, adjusting: Adjusting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.gateway.pipeline._combiner, "_waiting_max", 2)
    key = await gateway.create_key(await gateway.open_account())
    async with Meeting(gateway, adjusting, key) as meeting:
        meeting.send(adjustment(), "a")
        meeting.send(adjustment(), "b")
        await meeting.arrived(2)
        shed = await gateway.call(key, OPERATION, adjustment(), Idempotency_Key="c")
        assert (kinds([shed]), shed.headers["retry-after"]) == (["503 unavailable"], "1")
    assert kinds(await meeting.replies()) == ["200"] * 3
    (event,) = journaled(gateway)
    assert (event.class_, event.status, event.billable) == ("provider_error", 503, False)
    assert kinds([await gateway.call(key, OPERATION, adjustment(), Idempotency_Key="c")]) == ["200"]


async def _connections_in_use(gateway: RunningGateway) -> int:
    await asyncio.sleep(0.02)
    pool = gateway.gateway.pool
    return pool.get_size() - pool.get_idle_size()


async def test_a_hot_account_neither_holds_up_another_nor_takes_its_connections(
    gateway: RunningGateway, adjusting: Adjusting
) -> None:
    hot = await gateway.open_account("hot")
    key = await gateway.create_key(hot)
    test_key = await gateway.create_key(hot, "test")
    cold = await gateway.create_key(await gateway.open_account("cold"))
    async with Meeting(gateway, adjusting, key) as meeting:
        for number in range(60):
            meeting.send(adjustment(), f"key-{number}")
        await meeting.arrived(60)
        for other in (cold, test_key):
            reply = await gateway.call(other, OPERATION, adjustment(), Idempotency_Key="first")
            assert reply.json()["on_hand"] == 1
        # The worker's own background work takes one for a moment, now and then.
        in_use = [await _connections_in_use(gateway) for _ in range(20)]
        assert min(in_use) == 1
    assert kinds(await meeting.replies()) == ["200"] * 61


async def test_a_caller_that_goes_away_leaves_its_call_and_its_neighbours_whole(
    gateway: RunningGateway, adjusting: Adjusting
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    async with Meeting(gateway, adjusting, key) as meeting:
        stays = meeting.send(adjustment(2), "stays")
        goes = meeting.send(adjustment(4), "goes")
        await meeting.arrived(2)
        goes.cancel()
        meeting.first.cancel()
    assert kinds([await stays]) == ["200"]
    assert await on_hand(gateway) == 7, "a call whose caller has gone is run and recorded all the same"
    assert await rows(gateway) == ["ok"] * 3
    for name, quantity in (("first", 1), ("goes", 4)):
        body = adjustment(quantity, "held" if name == "first" else "count")
        assert kinds([await gateway.call(key, OPERATION, body, Idempotency_Key=name)]) == ["200 replayed"]


async def test_replays_of_a_batch_are_counted_and_never_billed(
    gateway: RunningGateway, adjusting: Adjusting
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    for number in range(3):
        await gateway.call(key, OPERATION, adjustment(), Idempotency_Key=f"early-{number}")
    counted: list[str] = []
    refusals = gateway.gateway.pipeline._refusals
    refusals.count = lambda *place: counted.append(place[-1])  # type: ignore[method-assign]
    adjusting.batches.clear()
    async with Meeting(gateway, adjusting, key) as meeting:
        for number in range(3):
            meeting.send(adjustment(), f"early-{number}")
        meeting.send(adjustment(reason="breaks"), "poison")
        meeting.send(adjustment(), "new")
    assert Counter(kinds(await meeting.replies())) == {"200 replayed": 3, "200": 2, "500 internal-error": 1}
    assert counted == ["replayed"] * 3, "once for each call, though the batch ran twice"
    assert len(await rows(gateway)) == 5


async def test_an_intent_that_was_answered_while_its_key_was_claimed_is_replayed_and_has_no_second_effect(
    gateway: RunningGateway, adjusting: Adjusting
) -> None:
    """What a claim cannot see: a reply that is committed after its statement began."""
    opened = await gateway.open_account()
    key = await gateway.create_key(opened)
    body = adjustment(reason="meanwhile")

    async def somebody_answers(name: str) -> None:
        await gateway.admin.execute(
            "INSERT INTO gateway.stored_reply (account_id, environment, operation, idempotency_key, request_hash, "
            "call_id, status, headers, body, expires_at) VALUES ($1, 'live', $2, $3, $4, gen_random_uuid(), 200, "
            "'[]', '{}', now() + interval '1 hour') ON CONFLICT DO NOTHING",
            *(opened.account.id, OPERATION, name, sha256(msgspec.json.encode(body)).digest()),
        )

    adjusting.meanwhile = lambda: somebody_answers("alone")
    alone = await gateway.call(key, OPERATION, body, Idempotency_Key="alone")
    assert (kinds([alone]), alone.content) == (["200 replayed"], b"{}")
    assert await rows(gateway) == []

    adjusting.meanwhile = lambda: somebody_answers("together")
    adjusting.batches.clear()
    async with Meeting(gateway, adjusting, key) as meeting:
        meeting.send(adjustment(2), "neighbour")
        meeting.send(body, "together")
    assert kinds(await meeting.replies()) == ["200", "200", "200 replayed"]
    assert (await rows(gateway), await on_hand(gateway)) == (["ok", "ok"], 3)
