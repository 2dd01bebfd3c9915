"""What a correction takes away is free again: metered calls go on, and one that adds takes more."""

from typing import Any

import asyncpg

from tests.allowances import budget, nothing_held, until
from tests.gateways import BERLIN, RunningGateway
from tests.scenarios.test_reported_limits import allowances, amount, calls, event, now_of, report


def corrected(first: dict[str, Any], id_: str, corrects: str, units: str) -> dict[str, Any]:
    """The quantity of an event anew."""
    return {**first, "id": id_, "corrects": corrects, "data": {"units": units}}


async def test_a_budget_that_reported_usage_had_used_up_serves_calls_again_once_it_is_corrected(
    gateway: RunningGateway, admin: asyncpg.Connection
) -> None:
    opened = await gateway.open_account()
    key = await gateway.create_key(opened)
    await budget(gateway.database, opened.account, "5.00", now_of(gateway))
    await gateway.settle()
    assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200
    first = event(gateway, units="300")
    assert await report(gateway, key, first) == ["accepted"]
    assert [reply.status_code for reply in await calls(gateway, key, 2)] == [402] * 2
    assert await report(gateway, key, corrected(first, "1a", "1", "20")) == ["accepted"]
    assert [reply.status_code for reply in await calls(gateway, key, 2)] == [200] * 2
    await until(lambda: nothing_held(admin))
    (shown,) = (await allowances(gateway, key))["budgets"]
    assert shown["counted"] == amount("1.265"), "three calls and what is left of the report"
    assert await report(gateway, key, corrected(first, "1b", "1a", "200")) == ["accepted"]
    assert [reply.status_code for reply in await calls(gateway, key, 2)] == [402] * 2
    assert await report(gateway, key, corrected(first, "1c", "1b", "0")) == ["accepted"]
    assert [reply.status_code for reply in await calls(gateway, key, 2)] == [200] * 2
