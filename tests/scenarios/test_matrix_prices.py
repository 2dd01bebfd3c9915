"""A price for each combination of what was asked for: refused, charged, kept with the call, rated and simulated."""

import hashlib
from datetime import timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from billing.flow import Flow
from billing.invoice.rate_pending import rate_pending
from billing.invoice.simulate import simulate
from billing.rebuild import verify
from billing.transaction import all_accounts
from billing.view import calls
from catalog.passport import PassportRefused
from catalog.plan import parse_plan
from catalog.vocabulary.clock import SystemClock, from_ns, to_ns
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Problem
from tests.gateways import BERLIN, RunningGateway
from tests.usage_books import call, use

CLOCK = SystemClock()
BEIJING = {"country": "CN", "lines": ["广东省深圳市南山区深南大道9988号"]}
PARIS = {"country": "FR", "postal_code": "75001", "locality": "Paris", "lines": ["1 rue de Rivoli"]}
MATRIX: dict[str, Any] = {
    "dimensions": ["country"],
    "cells": [
        {"dimensions": {"country": "DE"}, "unit_price": "0.10"},
        {"dimensions": {"country": "CN"}, "unit_price": "0.04"},
    ],
}


def _sold_by(price: dict[str, Any]) -> Any:
    def change(passport: dict[str, Any]) -> None:
        for plan in passport["plans"]:
            for entry in plan["prices"]:
                if entry["operation"] == "validate":
                    entry.update(model="matrix", price=price)

    return change


async def _take_in(gateway: RunningGateway, pool: asyncpg.Pool) -> None:
    flow = Flow(pool, gateway.home.journals, None, CLOCK)
    try:
        while (await flow.ship()).more or (await flow.roll_up()).more:
            pass
    finally:
        flow.close()


async def _amounts(admin: asyncpg.Connection) -> list[Decimal]:
    rows = await admin.fetch("SELECT sum(amount) AS amount FROM billing.rated_line GROUP BY operation")
    return [row["amount"] for row in rows]


async def test_a_call_costs_what_its_combination_costs_and_one_without_a_price_is_refused(
    gateway: RunningGateway, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    await gateway.publish("address", _sold_by(MATRIX))
    opened = await gateway.open_account()
    key = await gateway.create_key(opened)
    for body, charge in ((BERLIN, "0.1 CNY"), (BERLIN, "0.1 CNY"), (BEIJING, "0.04 CNY")):
        reply = await gateway.call(key, "address/validate", body)
        assert (reply.status_code, reply.headers["ordergate-charge"]) == (200, charge)
    refused = await gateway.call(key, "address/validate", PARIS)
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/not-priced")
    assert refused.json()["title"] == "The plan has no price for this call"
    assert "address/validate with country 'FR'" in refused.json()["detail"]
    await _take_in(gateway, billing_pool)
    kept = await admin.fetch("SELECT dimension_names, dimension_values FROM billing.usage_event ORDER BY id")
    assert [tuple(row) for row in kept] == [(["country"], [value]) for value in ("DE", "DE", "CN")]
    async with all_accounts(billing_pool) as connection:
        listed = (await calls(connection, opened.account.id, "live", 10)).data
    assert [one.charge.amount for one in listed] == ["0.04", "0.1", "0.1"], "what the replies told"
    await rate_pending(billing_pool, CLOCK)
    assert await _amounts(admin) == [Decimal("0.24")]
    assert await verify(billing_pool, ()) == []

    # What was asked for stays with the calls: other prices can be tried on them.
    month = Period.of(from_ns(CLOCK.now_ns()), "Asia/Shanghai")

    async def drafted(price: dict[str, Any]) -> str:
        entry = {"operation": "validate", "currency": "CNY", "model": "matrix", "price": price}
        plan = {"id": "internal-2026", "audience": "internal", "effective_from": "2027-01-01"}
        async with all_accounts(billing_pool) as connection:
            found = await simulate(
                connection, "address", [parse_plan({**plan, "prices": [entry]})], month, "live"
            )
        return found.lines[0].effect.draft.amount

    assert await drafted({**MATRIX, "cells": MATRIX["cells"][:1], "default": "0.50"}) == "0.70"
    with pytest.raises(Problem, match="no cell for country 'CN', and no default"):
        await drafted({**MATRIX, "cells": MATRIX["cells"][:1]})


async def test_calls_from_before_and_from_elsewhere_have_the_default(
    gateway: RunningGateway, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    await gateway.publish("address", _sold_by({**MATRIX, "default": "0.30"}))
    opened = await gateway.open_account()
    key = await gateway.create_key(opened)
    reply = await gateway.call(key, "address/validate", PARIS)
    assert (reply.status_code, reply.headers["ordergate-charge"]) == (200, "0.3 CNY")
    await _take_in(gateway, billing_pool)
    price = await admin.fetchval("SELECT price_version FROM billing.usage_event")
    now = from_ns(CLOCK.now_ns())
    await use(billing_pool, [call(opened.account.id, now - timedelta(seconds=1), price_version=price)])
    await rate_pending(billing_pool, CLOCK)
    rows = await admin.fetch("SELECT sum(amount) AS amount FROM billing.rated_line")
    assert [row["amount"] for row in rows] == [Decimal("0.60")]


async def _report(gateway: RunningGateway, key: str, id_: str, **fields: Any) -> dict[str, Any]:
    """What became of three units that were done elsewhere."""
    event = {
        "specversion": "1.0",
        "type": "ordergate.usage.v1",
        "source": "/box",
        "subject": "address/validate",
        "time": from_ns(CLOCK.now_ns()).isoformat(),
        "data": {"units": "3"},
        "id": id_,
        **fields,
    }
    reply = await gateway.client.post(
        "/api/usage/events",
        json=event,
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/cloudevents+json"},
    )
    result: dict[str, Any] = reply.json()["results"][0]
    return result


async def test_what_was_done_elsewhere_has_the_default_or_no_price(gateway: RunningGateway) -> None:
    await gateway.publish("address", _sold_by(MATRIX))
    key = await gateway.create_key(await gateway.open_account())
    refused = await _report(gateway, key, "1")
    assert (refused["result"], refused["errors"][0]["rule"]) == ("refused", "not-priced")
    await gateway.publish("address", _sold_by({**MATRIX, "default": "0.30"}))
    await gateway.settle()
    assert (await _report(gateway, key, "2"))["result"] == "accepted"


async def test_what_was_done_elsewhere_is_priced_by_the_dimensions_that_it_names(
    gateway: RunningGateway, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    await gateway.publish("address", _sold_by(MATRIX))
    key = await gateway.create_key(await gateway.open_account())
    now = from_ns(CLOCK.now_ns()).isoformat()
    german = {"units": "3", "dimensions": {"country": "DE"}}
    assert (await _report(gateway, key, "1", time=now, data=german))["result"] == "accepted"
    chinese = {"units": "3", "dimensions": {"country": "CN"}}
    assert (await _report(gateway, key, "2", data=chinese))["result"] == "accepted"
    again = await _report(gateway, key, "1", time=now, data={**german, "dimensions": {"country": "CN"}})
    assert again["result"] == "conflict"
    assert [one["pointer"] for one in again["errors"]] == ["/data/dimensions"]

    correction = {"time": now, "corrects": "1", "data": {**german, "units": "10"}}
    differs = await _report(gateway, key, "1a", **{**correction, "data": {"units": "10"}})
    assert differs["errors"] == [
        {
            "pointer": "/data/dimensions",
            "rule": "differs",
            "detail": "repeat what the event that is corrected says: country 'DE'",
        }
    ]
    assert (await _report(gateway, key, "1a", **correction))["result"] == "accepted"
    await _take_in(gateway, billing_pool)
    await rate_pending(billing_pool, CLOCK)
    assert await _amounts(admin) == [Decimal("1.12")], "ten at 0.10 and three at 0.04"
    assert await verify(billing_pool, ()) == []


async def test_dimensions_that_an_operation_does_not_have_are_refused_with_those_that_it_has(
    gateway: RunningGateway,
) -> None:
    await gateway.publish("address", _sold_by(MATRIX))
    key = await gateway.create_key(await gateway.open_account())
    for dimensions, pointer, rule, told in (
        (
            {"lane": "a", "country": "DE"},
            "/data/dimensions/lane",
            "reference",
            "address/validate has country;",
        ),
        ({"country": "D\u200bE"}, "/data/dimensions/country", "printable", "printable"),
        ({"country": "x" * 65}, "/data/dimensions/country", "constraint", "<= 64"),
        ({"country": 1}, "/data/dimensions/country", "type", "string"),
        ({"country": "FR"}, "/data/dimensions", "not-priced", "no price for country 'FR'"),
    ):
        refused = await _report(gateway, key, "1", data={"units": "3", "dimensions": dimensions})
        (error,) = refused["errors"]
        assert (error["pointer"], error["rule"]) == (pointer, rule), error
        assert told in error["detail"], error


async def test_an_event_without_a_dimension_is_the_same_as_before_there_were_any(
    gateway: RunningGateway, admin: asyncpg.Connection
) -> None:
    await gateway.publish("address", _sold_by({**MATRIX, "default": "0.30"}))
    key = await gateway.create_key(await gateway.open_account())
    moment = from_ns(CLOCK.now_ns())
    assert (await _report(gateway, key, "1", time=moment.isoformat()))["result"] == "accepted"
    said = f'["address/validate",{to_ns(moment)},"3","ok"]'
    assert (
        await admin.fetchval("SELECT content_hash FROM billing.seen")
        == hashlib.sha256(said.encode()).digest()
    )
    for dimensions in ({}, {"country": ""}):
        data = {"units": "3", "dimensions": dimensions}
        assert (await _report(gateway, key, "1", time=moment.isoformat(), data=data))["result"] == "duplicate"


async def test_prepaid_credit_is_reserved_and_taken_at_the_price_of_the_combination(
    gateway: RunningGateway, admin: asyncpg.Connection
) -> None:
    await gateway.publish("address", _sold_by(MATRIX))
    opened = await gateway.open_account(kind="external")
    key = await gateway.create_key(opened)
    await admin.execute(
        "INSERT INTO billing.credit_grant (id, account_id, environment, amount, currency, category, priority, valid_from, "
        "granted_at, granted_by) VALUES ('grant_x', $1, 'live', 0.05, 'CNY', 'paid', 1, now(), now(), 'test')",
        opened.account.id,
    )
    await admin.execute(
        "INSERT INTO billing.allowance (account_id, environment, kind, subject, starts_on, used) "
        "VALUES ($1, 'live', 'credit', 'grant_x', '2000-01-01', 0)",
        opened.account.id,
    )
    await gateway.settle()
    assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 402
    assert (await gateway.call(key, "address/validate", BEIJING)).status_code == 200


@pytest.mark.parametrize(
    ("price", "pointer", "rule", "remedy"),
    [
        (
            {"dimensions": ["lane"], "cells": [], "default": "1"},
            "dimensions/0",
            "not-metered",
            "keeps country",
        ),
    ],
)
async def test_a_matrix_over_what_calls_do_not_keep_is_not_published(
    gateway: RunningGateway, price: dict[str, Any], pointer: str, rule: str, remedy: str
) -> None:
    with pytest.raises(PassportRefused) as refused:
        await gateway.publish("address", _sold_by(price))
    assert [(one.rule, one.pointer.partition("/price/")[2]) for one in refused.value.errors][:1] == [
        (rule, pointer)
    ]
    assert remedy in refused.value.errors[0].detail
