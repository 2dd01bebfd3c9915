"""One intent has one effect, one usage row and one reply, however often and from wherever it is sent."""

import asyncio
from typing import Any

import pytest

from catalog.vocabulary.clock import from_ns
from gateway.stores import replies
from tests.allowances import budget, grant, publish_quota
from tests.gateways import RunningGateway

ADJUST: dict[str, Any] = {"sku": "A", "warehouse": "W1", "quantity": 10, "reason": "count"}


async def rows(gateway: RunningGateway) -> int:
    """Usage rows written with their effects."""
    count: int = await gateway.admin.fetchval(
        "SELECT count(*) FROM billing.usage_event WHERE recorded_by = 'transaction'"
    )
    return count


async def test_effect_usage_and_reply_are_committed_together(gateway: RunningGateway) -> None:
    key = await gateway.create_key(await gateway.open_account())
    reply = await gateway.call(key, "stock/adjust", ADJUST, Idempotency_Key="a-1")
    assert (reply.status_code, reply.json()["on_hand"]) == (200, 10)
    row = await gateway.admin.fetchrow("SELECT * FROM billing.usage_event")
    assert row is not None
    assert f"call_{row['id'].hex}" == reply.headers["ordergate-call-id"]
    assert (row["class"], row["recorded_by"], row["billable"], row["units"]) == ("ok", "transaction", True, 1)


async def test_the_same_intent_gets_the_same_reply_and_no_second_effect(gateway: RunningGateway) -> None:
    key = await gateway.create_key(await gateway.open_account())
    first = await gateway.call(key, "stock/adjust", ADJUST, Idempotency_Key="a-1")
    again = await gateway.call(key, "stock/adjust", ADJUST, Idempotency_Key="a-1")
    assert again.content == first.content
    assert again.headers["ordergate-call-id"] == first.headers["ordergate-call-id"]
    assert again.headers["idempotent-replayed"] == "true"
    assert not first.headers["ordergate-charge"].startswith("0 ")
    assert again.headers["ordergate-charge"] == "0 CNY", "a replay is not billed"
    assert await rows(gateway) == 1


async def test_another_body_under_the_same_key_is_refused(gateway: RunningGateway) -> None:
    key = await gateway.create_key(await gateway.open_account())
    await gateway.call(key, "stock/adjust", ADJUST, Idempotency_Key="a-1")
    other = await gateway.call(key, "stock/adjust", {**ADJUST, "quantity": 11}, Idempotency_Key="a-1")
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-key-reused")
    assert await rows(gateway) == 1


async def test_a_missing_or_unusable_key_is_refused_where_one_is_required(gateway: RunningGateway) -> None:
    key = await gateway.create_key(await gateway.open_account())
    missing = await gateway.call(key, "stock/adjust", ADJUST)
    assert (missing.status_code, missing.json()["type"]) == (400, "/problems/idempotency-key-missing")
    for unusable in ("", "a b", "x" * 256, "é"):
        headers = {b"Authorization": f"Bearer {key}".encode(), b"Idempotency-Key": unusable.encode()}
        reply = await gateway.client.post("/v1/stock/adjust", json=ADJUST, headers=headers)
        assert (reply.status_code, reply.json()["type"]) == (400, "/problems/malformed-request"), unusable
    assert await rows(gateway) == 0


async def test_a_key_may_be_written_as_a_quoted_string_and_other_quotes_belong_to_it(
    gateway: RunningGateway,
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    first = await gateway.call(key, "stock/adjust", ADJUST, Idempotency_Key="a-1")
    quoted = await gateway.call(key, "stock/adjust", ADJUST, Idempotency_Key='"a-1"')
    assert quoted.headers["ordergate-call-id"] == first.headers["ordergate-call-id"]
    for other in ('a-1"', '"a-1', '""a-1""', '"'):
        reply = await gateway.call(key, "stock/adjust", ADJUST, Idempotency_Key=other)
        assert "idempotent-replayed" not in reply.headers, other
    assert await rows(gateway) == 5


async def test_two_hundred_at_once_have_one_effect(gateway: RunningGateway) -> None:
    key = await gateway.create_key(await gateway.open_account())
    replies = await asyncio.gather(
        *(gateway.call(key, "stock/adjust", ADJUST, Idempotency_Key="a-1") for _ in range(60))
    )
    assert {reply.status_code for reply in replies} <= {200, 409}
    assert all(
        reply.json()["type"] == "/problems/idempotency-in-flight"
        for reply in replies
        if reply.status_code == 409
    )
    assert len({reply.content for reply in replies if reply.status_code == 200}) == 1
    assert await rows(gateway) == 1
    level = await gateway.call(key, "stock/availability", {"skus": ["A"]})
    assert [(one["sku"], one["on_hand"]) for one in level.json()["skus"]] == [("A", 10)]


async def test_a_refusal_of_the_service_is_one_reply_too_and_its_effect_is_undone(
    gateway: RunningGateway,
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    wanted = {"reservation_id": "r1", "ttl_s": 60, "lines": [{"sku": "A", "quantity": 3}]}
    refused = await gateway.call(key, "stock/reserve", wanted, Idempotency_Key="r-1")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/insufficient-stock")
    await gateway.call(key, "stock/adjust", ADJUST, Idempotency_Key="a-1")
    again = await gateway.call(key, "stock/reserve", wanted, Idempotency_Key="r-1")
    assert again.content == refused.content
    assert (await gateway.call(key, "stock/reserve", wanted, Idempotency_Key="r-2")).status_code == 200
    classes = await gateway.admin.fetch("SELECT class, billable FROM billing.usage_event ORDER BY id")
    assert [tuple(row) for row in classes] == [("declined", False), ("ok", True), ("ok", True)]


async def test_keys_of_different_accounts_and_environments_never_meet(gateway: RunningGateway) -> None:
    first, second = await gateway.open_account("first"), await gateway.open_account("second")
    for key in (
        await gateway.create_key(first),
        await gateway.create_key(first, "test"),
        await gateway.create_key(second),
    ):
        reply = await gateway.call(key, "stock/adjust", ADJUST, Idempotency_Key="same")
        assert (reply.status_code, reply.json()["on_hand"]) == (200, 10)
    assert await rows(gateway) == 3


async def test_a_kept_reply_is_forgotten_after_a_day(gateway: RunningGateway) -> None:
    key = await gateway.create_key(await gateway.open_account())
    await gateway.call(key, "stock/adjust", ADJUST, Idempotency_Key="a-1")
    await gateway.admin.execute("UPDATE gateway.stored_reply SET expires_at = now() - interval '1 second'")
    again = await gateway.call(key, "stock/adjust", ADJUST, Idempotency_Key="a-1")
    assert again.json()["on_hand"] == 20


async def test_a_key_whose_reply_was_forgotten_can_be_refused_like_a_new_one(gateway: RunningGateway) -> None:
    key = await gateway.create_key(await gateway.open_account())
    await gateway.call(key, "stock/adjust", ADJUST, Idempotency_Key="a-1")
    await gateway.admin.execute("UPDATE gateway.stored_reply SET expires_at = now() - interval '1 second'")
    refused = await gateway.call(key, "stock/adjust", {**ADJUST, "quantity": -11}, Idempotency_Key="a-1")
    assert refused.json()["type"] == "/problems/insufficient-stock"
    again = await gateway.call(key, "stock/adjust", {**ADJUST, "quantity": -11}, Idempotency_Key="a-1")
    assert (again.content, "idempotent-replayed" in again.headers) == (refused.content, True)


async def test_replies_that_nobody_may_ask_for_any_more_are_deleted(gateway: RunningGateway) -> None:
    key = await gateway.create_key(await gateway.open_account())
    await gateway.call(key, "stock/adjust", ADJUST, Idempotency_Key="old")
    await gateway.admin.execute("UPDATE gateway.stored_reply SET expires_at = now() - interval '1 second'")
    await gateway.call(key, "stock/adjust", ADJUST, Idempotency_Key="new")
    async with gateway.gateway.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL ordergate.account = '*'")
        assert await replies.forget_expired(connection, from_ns(gateway.clock.now_ns())) == 1
    kept = await gateway.admin.fetch("SELECT idempotency_key FROM gateway.stored_reply")
    assert [row["idempotency_key"] for row in kept] == ["new"]


@pytest.mark.parametrize("limit", ["quota", "budget", "credit"])
async def test_a_limit_that_the_first_request_used_up_does_not_keep_its_reply_from_who_asks_again(
    gateway: RunningGateway, limit: str
) -> None:
    opened = await gateway.open_account()
    now = from_ns(gateway.clock.now_ns())
    if limit == "quota":
        await publish_quota(gateway, 1, "stock", counts="service")
    elif limit == "budget":
        await budget(gateway.database, opened.account, "0.01", now)
    else:
        await grant(gateway.database, opened.account, "0.01", now)
    key = await gateway.create_key(opened)
    first = await gateway.call(key, "stock/adjust", ADJUST, Idempotency_Key="a-1")
    again = await gateway.call(key, "stock/adjust", ADJUST, Idempotency_Key="a-1")
    assert (first.status_code, again.content) == (200, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    other = await gateway.call(key, "stock/adjust", {**ADJUST, "quantity": 11}, Idempotency_Key="a-1")
    assert other.json()["type"] == "/problems/idempotency-key-reused"
    new = await gateway.call(key, "stock/adjust", ADJUST, Idempotency_Key="a-2")
    assert new.json()["type"] == f"/problems/{limit}-exhausted"
    assert await rows(gateway) == 1


async def test_a_sandbox_whose_clock_stands_behind_keeps_its_replies_for_a_day_too(
    gateway: RunningGateway,
) -> None:
    await gateway.admin.execute("ALTER TABLE catalog.account DISABLE TRIGGER keep_test_clock")
    opened = await gateway.open_account()
    await gateway.admin.execute("UPDATE catalog.account SET test_clock = now() - interval '40 days'")
    key = await gateway.create_key(opened, "test")
    first = await gateway.call(key, "stock/adjust", ADJUST, Idempotency_Key="a-1")
    async with gateway.gateway.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL ordergate.account = '*'")
        assert await replies.forget_expired(connection, from_ns(gateway.clock.now_ns())) == 0
    again = await gateway.call(key, "stock/adjust", ADJUST, Idempotency_Key="a-1")
    assert again.content == first.content
    lasts = await gateway.admin.fetchval("SELECT expires_at - now() FROM gateway.stored_reply")
    assert lasts.total_seconds() == pytest.approx(86_400, abs=60)


async def test_however_many_replies_have_expired_none_of_them_stays(gateway: RunningGateway) -> None:
    opened = await gateway.open_account()
    await gateway.admin.execute(
        """
        INSERT INTO gateway.stored_reply
        SELECT 'live', $1, 'stock/adjust', 'key-' || number, '\\x00', gen_random_uuid(), 200, '[]', '', now() - interval '1 hour'
        FROM generate_series(1, 2500) AS number
        """,
        opened.account.id,
    )
    await gateway.gateway.forget_expired()
    assert await gateway.admin.fetchval("SELECT count(*) FROM gateway.stored_reply") == 0
