"""A reservation ends when its time is up, in every answer at once and in the books within a second."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from catalog.vocabulary.clock import SystemClock, from_ns
from tests.gateways import RunningGateway

_STOCK = {"sku": "A", "warehouse": "N", "quantity": 5, "reason": "receipt"}
# A sweep may be under way when the time is up, and the machine may be busy.
_WITHIN_S = 1.0


def _order(id_: str, ttl_s: int, quantity: int = 5) -> dict[str, Any]:
    return {"reservation_id": id_, "lines": [{"sku": "A", "quantity": quantity}], "ttl_s": ttl_s}


@pytest.mark.timed
async def test_what_nobody_touches_is_free_in_the_books_within_a_second_of_its_expiry(
    gateway: RunningGateway, admin: asyncpg.Connection
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    assert (await gateway.call(key, "stock/adjust", _STOCK, Idempotency_Key="s")).status_code == 200
    reply = await gateway.call(key, "stock/reserve", _order("r1", 1))
    expires_at = datetime.fromisoformat(reply.json()["expires_at"])
    async with asyncio.timeout(10):
        while await admin.fetchval("SELECT reserved FROM stock.level"):
            await asyncio.sleep(0.02)
    late_s = (from_ns(SystemClock().now_ns()) - expires_at.astimezone(UTC)).total_seconds()
    assert 0 <= late_s <= _WITHIN_S
    assert await admin.fetchval("SELECT count(*) FROM stock.movement WHERE kind = 'expire'") == 1


@pytest.mark.timed
async def test_two_thousand_lines_that_expire_at_once_are_free_within_a_second(
    gateway: RunningGateway, admin: asyncpg.Connection
) -> None:
    """More than several sweeps free: a sale whose baskets all end at the same moment."""
    key = await gateway.create_key(await gateway.open_account())
    skus = [f"S{number}" for number in range(100)]
    adjusting = (
        gateway.call(key, "stock/adjust", {**_STOCK, "sku": sku, "quantity": 20}, Idempotency_Key=sku)
        for sku in skus
    )
    await asyncio.gather(*adjusting)
    ttl_s = 5
    began = asyncio.get_running_loop().time()
    lines = [{"sku": sku, "quantity": 1} for sku in skus]
    orders = [{"reservation_id": f"r{number}", "lines": lines, "ttl_s": ttl_s} for number in range(20)]
    replies = await asyncio.gather(*(gateway.call(key, "stock/reserve", order) for order in orders))
    ends_at = max(datetime.fromisoformat(reply.json()["expires_at"]) for reply in replies).astimezone(UTC)
    assert asyncio.get_running_loop().time() - began < ttl_s, (
        "nothing may have expired while the orders came in"
    )
    # One after the other, all within the fifth of a second before the last of them ends.
    await admin.execute(
        "UPDATE stock.reservation_line AS line SET expires_at = $1::timestamptz - one.n * interval '0.1 ms' FROM "
        "(SELECT reservation_id, position, row_number() OVER () - 1 AS n FROM stock.reservation_line) AS one "
        "WHERE one.reservation_id = line.reservation_id AND one.position = line.position",
        ends_at,
    )
    async with asyncio.timeout(20):
        while await admin.fetchval("SELECT sum(reserved) FROM stock.level"):
            await asyncio.sleep(0.02)
    late_s = (from_ns(SystemClock().now_ns()) - ends_at).total_seconds()
    assert 0 <= late_s <= _WITHIN_S
    assert await admin.fetchval("SELECT count(*) FROM stock.movement WHERE kind = 'expire'") == 2_000


async def test_whoever_asks_after_the_expiry_gets_the_units_without_waiting_for_a_sweep(
    gateway: RunningGateway,
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    await gateway.call(key, "stock/adjust", _STOCK, Idempotency_Key="s")
    first = await gateway.call(key, "stock/reserve", _order("r1", 1))
    expires_at = datetime.fromisoformat(first.json()["expires_at"]).astimezone(UTC)
    assert (await gateway.call(key, "stock/reserve", _order("r2", 60))).status_code == 409
    while from_ns(SystemClock().now_ns()) < expires_at:
        await asyncio.sleep(0.005)
    assert (await gateway.call(key, "stock/reserve", _order("r2", 60))).status_code == 200
    assert (await gateway.call(key, "stock/confirm", {"reservation_id": "r1"})).status_code == 409
