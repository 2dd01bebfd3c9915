"""A payer says weeks later what became of a call: over HTTP, once, for its own calls, with every refusal."""

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from catalog.vocabulary.clock import from_ns
from catalog.vocabulary.ids import call_id_text
from tests.gateways import RunningGateway
from tests.usage_books import call, use

VERDICT = {"outcome": "wrong", "reason": "the parcel came back"}


def _promise(document: dict[str, Any]) -> None:
    document["sla"]["objectives"] = [
        {
            "id": "answers",
            "measure": "outcome_rate",
            "outcome": "wrong",
            "at_most": "0.0003",
            "operation": "validate",
        }
    ]
    document["sla"]["credits"] = []


class _Payer:
    """An account with a key, whose calls are put on the books as if it had made them."""

    def __init__(self, gateway: RunningGateway, account_id: str, key: str, pool: asyncpg.Pool) -> None:
        self.gateway, self.account_id, self.key, self.pool = gateway, account_id, key, pool

    async def called(self, moment: datetime, **fields: Any) -> str:
        event = call(self.account_id, moment, **{"price_version": "", **fields})
        await use(self.pool, [event])
        return call_id_text(event.uuid)

    async def report(self, call_id: str, body: Any = VERDICT) -> httpx.Response:
        return await self.gateway.client.post(
            f"/api/calls/{call_id}/outcome", json=body, headers={"Authorization": f"Bearer {self.key}"}
        )

    async def read(self, path: str) -> httpx.Response:
        return await self.gateway.client.get(path, headers={"Authorization": f"Bearer {self.key}"})


async def _payer(gateway: RunningGateway, pool: asyncpg.Pool, name: str) -> _Payer:
    opened = await gateway.open_account(name)
    return _Payer(gateway, opened.account.id, await gateway.create_key(opened), pool)


async def test_a_verdict_is_kept_once_for_a_call_of_ones_own(
    gateway: RunningGateway, billing_pool: asyncpg.Pool
) -> None:
    await gateway.publish("address", _promise)
    payer = await _payer(gateway, billing_pool, "brand")
    stranger = await _payer(gateway, billing_pool, "stranger")
    now = from_ns(gateway.clock.now_ns())
    call_id = await payer.called(now - timedelta(hours=1))
    assert (await payer.read(f"/api/calls/{call_id}/outcome")).status_code == 404
    assert (await stranger.report(call_id)).status_code == 404
    made = await payer.report(call_id)
    assert made.status_code == 201
    assert made.json()["state"] == "reported"
    again = await payer.report(call_id)
    assert (again.status_code, again.json()["type"].rpartition("/")[2]) == (409, "outcome-reported")
    assert (await payer.read(f"/api/calls/{call_id}/outcome")).json() == made.json()
    assert (await stranger.read(f"/api/calls/{call_id}/outcome")).status_code == 404
    level = (await payer.read("/api/services/address/sla")).json()
    assert level["objectives"][0]["own"]["measured"] == "1 / 1"
    assert (await gateway.client.get("/problems/outcome-reported?lang=zh-CN")).status_code == 200
    actions = await gateway.admin.fetch("SELECT actor FROM catalog.audit WHERE action = 'outcome.report'")
    assert [row["actor"].partition("/")[0] for row in actions] == ["key"]


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        ({"outcome": "late", "reason": "x"}, 400, "invalid-input"),
        ({"outcome": "wrong"}, 400, "invalid-input"),
        ({"outcome": "wrong", "reason": ""}, 400, "invalid-input"),
        ({"outcome": "wrong", "reason": "x", "refund": 1}, 400, "invalid-input"),
    ],
)
async def test_a_verdict_names_a_promised_outcome_and_a_reason(
    gateway: RunningGateway, billing_pool: asyncpg.Pool, body: Any, status: int, problem: str
) -> None:
    await gateway.publish("address", _promise)
    payer = await _payer(gateway, billing_pool, "brand")
    call_id = await payer.called(from_ns(gateway.clock.now_ns()) - timedelta(hours=1))
    refused = await payer.report(call_id, body)
    assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (status, problem)


async def test_only_answered_calls_of_the_last_year_are_judged(
    gateway: RunningGateway, billing_pool: asyncpg.Pool
) -> None:
    await gateway.publish("address", _promise)
    payer = await _payer(gateway, billing_pool, "brand")
    now = from_ns(gateway.clock.now_ns())
    for call_id, status in (
        (await payer.called(now, class_="provider_error"), 409),
        (await payer.called(now - timedelta(days=367)), 409),
        (await payer.called(now, class_="declined"), 201),
        (await payer.called(now, operation="address/normalise"), 400),
        (call_id_text(call("x", datetime(2026, 1, 1, tzinfo=UTC)).uuid), 404),
        ("call_0", 404),
    ):
        assert (await payer.report(call_id)).status_code == status


async def test_the_level_of_a_service_is_read_by_the_month_and_only_where_it_is_offered(
    gateway: RunningGateway, billing_pool: asyncpg.Pool
) -> None:
    payer = await _payer(gateway, billing_pool, "brand")
    level = (await payer.read("/api/services/address/sla?period=2026-10")).json()
    assert level["period"] == "2026-10"
    assert level["objectives"][0]["own"]["light"] == "unknown", "nothing was called or probed in that month"
    assert (await payer.read("/api/services/none/sla")).status_code == 404
    assert (await payer.read("/api/services/bench/sla")).status_code == 404
    assert (await payer.read("/api/services/address/sla?period=October")).status_code == 400
    assert (await payer.read("/api/services/address/sla?month=1")).status_code == 400
