"""Results end to end: a share of them on sale, called over HTTP, stated, accepted, rated, invoiced and compared."""

from typing import Any

import asyncpg
import httpx
import pytest

from atomic_services.registry import built_in_passport
from billing.flow import Flow
from billing.invoice.rate_pending import rate_pending
from billing.result.month import stated_month
from billing.result.step import state_result
from catalog.accounts.open import OpenedAccount
from catalog.passport import PassportRefused, check_passport, document_of
from catalog.registry.publish import publish
from catalog.vocabulary.clock import SystemClock, from_ns
from catalog.vocabulary.period import Period
from tests.gateways import RunningGateway
from tests.result_books import SAMPLE, everything

CLOCK = SystemClock()
ECHO = {"country": "CN", "locality": "Hefei", "lines": ["1 Changjiang Road"]}


def shared(price: dict[str, Any]) -> dict[str, Any]:
    """The bench service as it would be sold by its results: what it echoes is what it saved."""
    own = built_in_passport("bench")
    assert own is not None
    document = document_of(own)
    document["operations"][0]["meter"] = {"unit": "call", "dimensions": {"saving": "/reply/normalized"}}
    entry = {"operation": "echo", "currency": "CNY", "model": "outcome", "price": price}
    plan = {"id": "by-result", "audience": "both", "effective_from": "2026-01-01", "prices": [entry]}
    return {**document, "plans": [plan], "visibility": "public"}


class Payer:
    """An account that calls, reads its results and agrees to them, over HTTP."""

    def __init__(self, gateway: RunningGateway, opened: OpenedAccount, key: str) -> None:
        self.gateway, self.opened, self.key = gateway, opened, key

    @property
    def period(self) -> Period:
        return Period.of(from_ns(CLOCK.now_ns()), "Asia/Shanghai")

    async def call(self, saving: str) -> httpx.Response:
        return await self.gateway.call(self.key, "bench/echo", {**ECHO, "postal_code": saving})

    async def results(self, query: str = "") -> Any:
        reply = await self.ask("GET", f"/api/results?period={self.period}{query}")
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def accept(self, total: str) -> httpx.Response:
        return await self.ask("POST", "/api/results/accept", {"period": str(self.period), "total": total})

    async def ask(self, method: str, path: str, body: Any = None, key: str | None = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key or self.key}"}
        return await self.gateway.client.request(method, path, json=body, headers=headers)


async def offer(gateway: RunningGateway, price: dict[str, Any]) -> None:
    passport = check_passport(shared(price))
    async with gateway._operator() as connection:
        await publish(connection, passport, passport, "test", from_ns(CLOCK.now_ns()))
    await gateway.settle()


async def payer(gateway: RunningGateway, name: str = "brand") -> Payer:
    opened = await gateway.open_account(name)
    return Payer(gateway, opened, await gateway.create_key(opened))


async def take_in(gateway: RunningGateway, pool: asyncpg.Pool) -> None:
    flow = Flow(pool, gateway.home.journals, None, CLOCK)
    try:
        while (await flow.ship()).more or (await flow.roll_up()).more:
            pass
    finally:
        flow.close()
    await rate_pending(pool, CLOCK)


async def test_calls_state_results_and_only_what_is_accepted_is_billed(
    gateway: RunningGateway, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    await offer(gateway, {"rate_pct": "10", "of": "/reply/normalized", "max": "60"})
    brand, stranger = await payer(gateway), await payer(gateway, "stranger")
    for saving in ("100", "250.50", "10000", "nothing"):
        reply = await brand.call(saving)
        assert (reply.status_code, reply.headers["ordergate-charge"]) == (200, "0 CNY")
    await take_in(gateway, billing_pool)
    assert await admin.fetchval("SELECT count(*) FROM billing.posting") == 0

    statement = await brand.results()
    assert (statement["open"], statement["total"]) == (3, {"amount": "95.05", "currency": "CNY"})
    assert statement["operations"][0]["light"] == "warn"
    assert {one["result"]: one["share"]["amount"] for one in statement["data"]} == {
        "100": "10.00",
        "250.50": "25.05",
        "10000": "60.00",
    }
    page = await brand.results("&limit=2")
    rest = await brand.results(f"&limit=2&after={page['next']}")
    assert [*page["data"], *rest["data"]] == statement["data"]
    assert rest["next"] is None

    refused = next(one["id"] for one in statement["data"] if one["result"] == "10000")
    assert (await stranger.ask("POST", f"/api/results/{refused}/decline", {"reason": "x"})).status_code == 404
    declined = await brand.ask("POST", f"/api/results/{refused}/decline", {"reason": "not ours"})
    assert (declined.status_code, declined.json()["state"], declined.json()["reason"]) == (
        200,
        "declined",
        "not ours",
    )
    moved = await brand.accept("95.05")
    assert (moved.status_code, moved.json()["type"]) == (409, "/problems/conflict")
    assert "come to 35.05 CNY now" in moved.json()["detail"]
    accepted = await brand.accept("35.05")
    assert (accepted.status_code, accepted.json()["results"]) == (200, 2)
    assert (await brand.accept("35.05")).status_code == 409
    await take_in(gateway, billing_pool)
    usage = (await brand.ask("GET", "/api/usage")).json()
    assert (usage["calls"], usage["amount"]["amount"]) == (4, "35.05")
    level = await admin.fetchval("SELECT sum(calls) FROM billing.service_interval")
    assert level == 4, "the service level is about calls"
    calls = (await brand.ask("GET", "/api/calls")).json()["data"]
    assert sorted(one["charge"]["amount"] for one in calls) == ["0", "0", "10", "25.05"]
    assert await everything(billing_pool) == []


async def test_the_provider_states_what_no_reply_does(
    gateway: RunningGateway, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    await offer(gateway, {"rate_pct": "10"})
    brand = await payer(gateway)
    await brand.call("100")
    await take_in(gateway, billing_pool)
    async with gateway._operator() as connection:
        month = await stated_month(connection, brand.opened.account.id, "live", brand.period)
        await state_result(connection, month, "bench/echo", SAMPLE, "test", from_ns(CLOCK.now_ns()))
    statement = await brand.results()
    (stated,) = statement["data"]
    assert (stated["baseline"], stated["measured"], stated["volume"]) == ("28.60", "17.90", "501869")
    assert (stated["evidence"], statement["total"]["amount"]) == (SAMPLE.evidence, "536999.83")
    assert await admin.fetchval("SELECT count(*) FROM billing.posting") == 0
    assert (await brand.accept("536999.83")).status_code == 200
    await take_in(gateway, billing_pool)
    assert (await brand.ask("GET", "/api/usage")).json()["amount"]["amount"] == "536999.83"
    assert await everything(billing_pool) == []


async def test_what_is_not_agreed_to_in_this_form_is_refused(
    gateway: RunningGateway, billing_pool: asyncpg.Pool
) -> None:
    await offer(gateway, {"rate_pct": "10", "of": "/reply/normalized"})
    brand = await payer(gateway)
    await brand.call("100")
    await take_in(gateway, billing_pool)
    month = str(brand.period)
    (one,) = (await brand.results())["data"]
    calls_only = await gateway.create_key(brand.opened, scopes=("bench/echo",))
    for path, body, key, status in (
        ("accept", {"period": month, "total": "10.00"}, calls_only, 403),
        (f"{one['id']}/decline", {"reason": "x"}, calls_only, 403),
        ("accept", {"period": month}, None, 400),
        ("accept", {"period": "2026-13", "total": "10.00"}, None, 400),
        ("accept", {"period": "0000-01", "total": "10.00"}, None, 400),
        ("accept", {"period": month, "total": "10,00"}, None, 400),
        ("accept", {"period": month, "total": "10.01"}, None, 409),
        ("accept", {"period": "2026-01", "total": "10.00"}, None, 409),
        (f"{one['id']}/decline", {"reason": ""}, None, 400),
        (f"{one['id']}/decline", {"reason": " "}, None, 400),
        (f"{one['id'][:-1]}/decline", {"reason": "x"}, None, 404),
        (f"result_{'0' * 32}/decline", {"reason": "x"}, None, 404),
    ):
        reply = await brand.ask("POST", f"/api/results/{path}", body, key)
        assert reply.status_code == status, (path, body, reply.text)
    unread = await brand.ask("POST", "/api/results/accept", {"period": "2026-1", "total": "-1"})
    assert [(one["pointer"], one["detail"]) for one in unread.json()["errors"]] == [
        ("/period", "a month such as 2026-11 is needed"),
        ("/total", "a positive amount as a decimal string such as 12.50 is needed"),
    ]
    for query in ("?period=May", "?after=result_1", "?limit=0", "?month=1"):
        assert (await brand.ask("GET", f"/api/results{query}")).status_code == 400
    test_key = await gateway.create_key(brand.opened, "test")
    reply = await brand.ask("POST", f"/api/results/{one['id']}/decline", {"reason": "x"}, test_key)
    assert reply.status_code == 404, "what happens in the sandbox stays there"
    assert (await brand.results())["open"] == 1


@pytest.mark.parametrize(
    ("of", "kept"),
    [("/reply/valid", "it keeps /reply/normalized"), ("/normalized", "it keeps /reply/normalized")],
)
async def test_a_share_of_what_no_call_keeps_is_not_published(
    gateway: RunningGateway, of: str, kept: str
) -> None:
    with pytest.raises(PassportRefused) as refused:
        await offer(gateway, {"rate_pct": "10", "of": of})
    (error,) = refused.value.errors
    assert (error.pointer, error.rule) == ("/plans/0/prices/0/price/of", "not-metered")
    assert kept in error.detail
