"""A payer splits its bill over cost centres by its own rule, and accepts what is only a proposal until then."""

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx

from billing.desk import close
from billing.invoice.calendar import ClosePolicy, set_close_policy
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from tests.gateways import RunningGateway
from tests.settled_books import assert_books_agree
from tests.sla_books import CHECK
from tests.usage_books import add_price, call, use

OCTOBER = Period(2026, 10)
NOON = datetime(2026, 10, 12, 4, tzinfo=UTC)
NOVEMBER_1 = datetime(2026, 11, 1, 2, tzinfo=UTC)
DEMO = {"logistics": "55", "legal": "25", "it": "20"}


class _Payer:
    def __init__(self, gateway: RunningGateway, account_id: str, key: str) -> None:
        self.gateway, self.id, self.key = gateway, account_id, key

    async def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}"}
        return await self.gateway.client.request(method, f"/api/{path}", json=body, headers=headers)

    async def allocate(self, parts: dict[str, str], **fields: Any) -> httpx.Response:
        listed = [{"cost_centre_id": name, "percent": percent} for name, percent in parts.items()]
        body = {"scope": "customs/check", "effective_from": "2026-08", "parts": listed, **fields}
        return await self.ask("POST", "allocations", body)


async def _payer(gateway: RunningGateway, name: str = "bu-06") -> _Payer:
    opened = await gateway.open_account(name)
    for centre in DEMO:
        await gateway.admin.execute(
            "INSERT INTO catalog.cost_centre VALUES ($1 || '_' || $2, $2, $1)", centre, opened.account.id
        )
    return _Payer(gateway, opened.account.id, await gateway.create_key(opened))


async def _check(gateway: RunningGateway, pool: asyncpg.Pool, payer: _Payer, price: str = "check") -> None:
    steps = [{"up_to": up_to, "unit_price": one, "flat_fee": "0"} for up_to, one in CHECK["internal"]]
    await add_price(gateway.admin, price, "customs/check", "graduated", {"tiers": steps})
    calls = [
        call(payer.id, NOON + timedelta(minutes=n), operation="customs/check", price_version=price)
        for n in range(118)
    ]
    await use(pool, calls)


async def test_octobers_checks_are_charged_back_55_25_20_by_the_accounts_own_rule(
    gateway: RunningGateway, billing_pool: asyncpg.Pool
) -> None:
    payer = await _payer(gateway)
    made = await payer.allocate(DEMO)
    assert made.status_code == 201
    await _check(gateway, billing_pool, payer)
    await close(billing_pool, OCTOBER, ManualClock(NOVEMBER_1))
    found = (await payer.ask("GET", "invoices/2026-10/chargeback")).json()
    (line,) = found["lines"]
    assert (line["operation"], line["amount"], line["rule_id"]) == (
        "customs/check",
        "411.20",
        made.json()["id"],
    )
    assert {part["cost_centre"]: part["amount"] for part in line["parts"]} == {
        "logistics": "226.16",
        "legal": "102.80",
        "it": "82.24",
    }
    assert sum(round(float(entry["amount"]) * 100) for entry in found["journal"]) == 0
    assert len(found["journal"]) == 4
    listed = (await payer.ask("GET", "allocations")).json()
    assert listed == {"data": [made.json()], "next": None}
    stranger = await _payer(gateway, "stranger")
    assert (await stranger.ask("GET", "allocations")).json()["data"] == []
    assert (await stranger.ask("GET", "invoices/2026-10/chargeback")).status_code == 404
    late = await payer.allocate(DEMO)
    assert (late.status_code, "2026-11 or later" in late.json()["detail"]) == (409, True)
    assert (await payer.allocate({"it": "100"}, effective_from="2026-11")).status_code == 201
    again = (await payer.ask("GET", "invoices/2026-10/chargeback")).json()
    assert again == found, "what was charged back stays as it was"
    await assert_books_agree(billing_pool)


async def test_a_rule_that_does_not_add_up_is_refused(gateway: RunningGateway) -> None:
    payer = await _payer(gateway)
    for parts, fields, pointer in (
        ({"logistics": "55", "legal": "25"}, {}, "/parts"),
        ({"logistics": "55", "sales": "45"}, {}, "/parts/1/cost_centre_id"),
        ({"logistics": "100", f"logistics_{payer.id}": "0"}, {}, "/parts/1/cost_centre_id"),
        ({"logistics": "0", "it": "100"}, {}, "/parts/0/percent"),
        ({"logistics": "x"}, {}, "/parts/0/percent"),
        (DEMO, {"scope": "Customs!"}, "/scope"),
        (DEMO, {"effective_from": "2026-13"}, "/effective_from"),
    ):
        refused = await payer.allocate(parts, **fields)
        assert refused.status_code == 400
        assert pointer in {error["pointer"] for error in refused.json()["errors"]}, refused.json()
    assert (await payer.ask("GET", "allocations")).json()["data"] == []


async def test_what_is_approved_is_the_amount_that_was_read(
    gateway: RunningGateway, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    payer = await _payer(gateway)
    await _check(gateway, billing_pool, payer)
    await close(billing_pool, OCTOBER, ManualClock(NOVEMBER_1))
    stale = await payer.ask("POST", "invoices/2026-10/approval", {"total": "1.00"})
    assert stale.status_code == 409
    approved = await payer.ask("POST", "invoices/2026-10/approval", {"total": "411.20"})
    assert (approved.status_code, approved.json()["total"]) == (200, {"amount": "411.20", "currency": "CNY"})
    again = await payer.ask("POST", "invoices/2026-10/approval")
    assert again.json() == approved.json(), "once; a second time answers the first"
    assert (await payer.ask("GET", "invoices/2026-10")).json()["approved_at"] == approved.json()[
        "approved_at"
    ]
    assert await admin.fetchval("SELECT count(*) FROM catalog.audit WHERE action = 'statement.approve'") == 1
    assert (await payer.ask("POST", "invoices/2026-09/approval")).status_code == 404
    assert (await payer.ask("POST", "invoices/2026-10/approval", {"sum": "1"})).status_code == 400


async def test_a_running_month_cannot_be_agreed_to(
    gateway: RunningGateway, billing_pool: asyncpg.Pool
) -> None:
    payer = await _payer(gateway)
    now = datetime.now(UTC)
    await use(billing_pool, [call(payer.id, now, price_version="")])
    month = Period.of(now, "Asia/Shanghai")
    await billing_pool.execute(
        "INSERT INTO billing.invoice (id, account_id, environment, period, kind, currency, state, created_at) "
        "VALUES ('running', $1, 'live', $2, 'statement', 'CNY', 'draft', $3)",
        payer.id,
        month.first_day,
        now,
    )
    refused = await payer.ask("POST", f"invoices/{month}/approval")
    assert (refused.status_code, "is not over" in refused.json()["detail"]) == (409, True)


async def test_close_follows_a_calendar_only_where_one_is_configured(
    gateway: RunningGateway, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    payer = await _payer(gateway)
    await _check(gateway, billing_pool, payer)
    for days in ((1, 3), (2, 5)):
        async with admin.transaction():
            await set_close_policy(admin, "internal", ClosePolicy(*days), "operator@test", NOVEMBER_1)
    report = await close(billing_pool, OCTOBER, ManualClock(NOVEMBER_1))
    assert [(one.period, one.reason) for one in report.left_draft] == [
        ("2026-10", "its calendar issues it from 2026-11-06 00:00:00 +08:00 on")
    ]
    draft = (await payer.ask("GET", "invoices/2026-10")).json()
    assert (draft["state"], draft["total"]) == ("draft", "411.20")
    assert draft["calendar"]["issue_at"] == "2026-11-05T16:00:00Z"
    async with admin.transaction():
        await set_close_policy(admin, "internal", ClosePolicy(0, 0), "operator@test", NOVEMBER_1)
    report = await close(billing_pool, OCTOBER, ManualClock(NOVEMBER_1))
    assert [str(one.total) for one in report.issued] == ["411.20"]
    assert (await payer.ask("GET", "invoices/2026-10")).json()["calendar"] is None
