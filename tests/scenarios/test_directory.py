"""What a worker knows of the catalogue is never older than a second, whoever used which key before."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from tests.gateways import BERLIN, RunningGateway


async def soon(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds; a second is what is promised, five are given to a busy machine."""
    for _ in range(100):
        if await holds():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the worker has not seen the change")


async def test_an_ended_subscription_ends_for_keys_that_were_used_before(gateway: RunningGateway) -> None:
    key = await gateway.create_key(await gateway.open_account())
    assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200
    await gateway.admin.execute("UPDATE catalog.subscription SET ends_at = now() WHERE service = 'address'")

    async def refused() -> bool:
        return (await gateway.call(key, "address/validate", BERLIN)).status_code == 403

    await soon(refused)


async def test_a_change_of_plan_reaches_keys_that_were_used_before(gateway: RunningGateway) -> None:
    opened = await gateway.open_account("dealer", "external")
    key = await gateway.create_key(opened)
    assert (await gateway.call(key, "address/validate", BERLIN)).headers["ordergate-charge"] == "0.08 CNY"
    await gateway.admin.execute("UPDATE catalog.subscription SET ends_at = now() WHERE service = 'address'")
    await gateway.admin.execute(
        "INSERT INTO catalog.subscription (id, account_id, service, plan_id, starts_at) "
        "VALUES ('sub_new', $1, 'address', 'internal-2026', now())",
        opened.account.id,
    )

    async def at_the_new_price() -> bool:
        reply = await gateway.call(key, "address/validate", BERLIN)
        return bool(reply.headers.get("ordergate-charge") == "0.055 CNY")

    await soon(at_the_new_price)


async def test_a_subscription_that_is_to_end_ends_by_itself(gateway: RunningGateway) -> None:
    key = await gateway.create_key(await gateway.open_account())
    await gateway.admin.execute(
        "UPDATE catalog.subscription SET ends_at = now() + interval '700 milliseconds' WHERE service = 'address'"
    )
    await gateway.settle()
    assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200

    async def refused() -> bool:
        return (await gateway.call(key, "address/validate", BERLIN)).status_code == 403

    await soon(refused)


async def test_a_row_of_a_newer_version_stops_neither_calls_nor_revocations(
    gateway: RunningGateway, caplog: pytest.LogCaptureFixture
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    await gateway.admin.execute(
        """
        INSERT INTO catalog.price_version (id, service, plan_id, audience, operation, currency, version,
                                           effective_from, billable_on, model, price, published_at)
        VALUES ('x', 'address', 'later', 'both', 'address/validate', 'CNY', 1, now(), 'success', 'telepathy', '{}', now())
        """
    )

    async def told() -> bool:
        return "the last good one stays" in caplog.text

    await soon(told)
    assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200
    await gateway.admin.execute("UPDATE gateway.api_key SET revoked_at = now()")

    async def refused() -> bool:
        return (await gateway.call(key, "address/validate", BERLIN)).status_code == 401

    await soon(refused)


async def test_a_lost_connection_is_made_anew(gateway: RunningGateway) -> None:
    key = await gateway.create_key(await gateway.open_account())
    assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200
    with pytest.raises(asyncpg.PostgresConnectionError):
        await gateway.admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        )
    admin = await asyncpg.connect(**gateway.database.admin())
    await admin.execute("UPDATE gateway.api_key SET revoked_at = now()")
    await admin.close()

    async def refused() -> bool:
        return (await gateway.call(key, "address/validate", BERLIN)).status_code == 401

    await soon(refused)
