"""Billing accidents that others told of, on this product. Those that other files hold are listed in billing/invoice/README.md."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from billing.audit.compare import compare
from billing.desk import close
from billing.flow import Flow
from billing.payment.collector import Collector
from billing.prepaid.grants import grant_credit
from billing.reconcile import Report, reconcile
from billing.rollup.recompute import recompute
from billing.sla.probe import Prober
from billing.transaction import all_accounts, one_snapshot
from catalog.accounts.account import find_account
from catalog.sla import PROBE_AGENT
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from deploy.database import Database
from deploy.roles import BILLING
from tests.collecting import collecting
from tests.gateways import RunningGateway
from tests.reporting import BATCH, PATH, event
from tests.usage_books import PROFILE, UNRATABLE, add_account, add_price, call, roll_up_all, store, use

OCTOBER = Period(2026, 10)
OCTOBER_5 = datetime(2026, 10, 5, tzinfo=UTC)
CLOSED = ManualClock(datetime(2026, 11, 2, tzinfo=UTC))


async def test_a_plan_that_cannot_be_rated_neither_stops_the_others_nor_bills_them_again_each_run(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    """Hologram, August 2018: one broken plan failed the batch after deducting, and every run deducted again."""
    accounts = [f"acct_{number:02}" for number in range(30)]
    for account in accounts:
        await add_account(admin, account)
    await add_price(admin, "price")
    await add_price(admin, "broken", **UNRATABLE)
    await use(
        billing_pool,
        [call(one, OCTOBER_5, price_version="broken" if one == "acct_07" else "price") for one in accounts],
    )
    for _ in range(3):
        report = await close(billing_pool, OCTOBER, CLOSED)
        assert [one.account_id for one in report.left_draft] == ["acct_07"]
    rows = await admin.fetch(
        "SELECT account_id, sum(amount) AS due FROM billing.posting GROUP BY 1 HAVING sum(amount) > 0"
    )
    assert {row["account_id"]: row["due"] for row in rows} == {
        one: Decimal("0.06") for one in accounts if one != "acct_07"
    }


async def test_months_east_and_west_of_utc_sum_to_every_call_that_was_made(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    """A nightly cursor in UTC over local days lost seven hours a day for months."""
    # Seven hours before UTC, and eleven behind it: what an hourly call from September 30 in UTC on falls into.
    zones = {"acct_east": ("Asia/Jakarta", (17, 744, 55)), "acct_west": ("Pacific/Pago_Pago", (35, 744, 37))}
    await add_price(admin, "price", price={"unit_price": "1"})
    start = datetime(2026, 9, 30, tzinfo=UTC)
    for account, (zone, _) in zones.items():
        await add_account(admin, account, timezone=zone)
        await use(billing_pool, [call(account, start + timedelta(hours=hour)) for hour in range(24 * 34)])
    for period in (Period(2026, 9), OCTOBER, Period(2026, 11)):
        await close(billing_pool, period, ManualClock(datetime(2026, 12, 2, tzinfo=UTC)))
    for account, (_, months) in zones.items():
        rows = await admin.fetch(
            "SELECT period, total FROM billing.invoice WHERE account_id = $1 ORDER BY period", account
        )
        assert [row["total"] for row in rows] == list(months)
        assert sum(months) == 24 * 34


async def test_balances_that_come_back_empty_are_told_and_pay_nothing_a_second_time(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    """Twilio, July 2013: the store of balances came back read-only with zeros, and cards were charged again and again."""
    await add_account(admin, "acct_a", "external", profile=PROFILE)
    await add_price(admin, "price", price={"unit_price": "1"})
    async with all_accounts(billing_pool) as connection:
        account = await find_account(connection, "acct_a")
        terms: dict[str, Any] = {"category": "paid", "priority": 100, "valid_until": None, "actor": "test"}
        now = datetime(2026, 9, 1, tzinfo=UTC)
        await grant_credit(connection, account, "live", Decimal("5.00"), now=now, **terms)
    await use(billing_pool, [call("acct_a", OCTOBER_5) for _ in range(4)])
    await close(billing_pool, OCTOBER, CLOSED)
    await admin.execute("UPDATE billing.allowance SET used = 0")
    async with one_snapshot(billing_pool) as connection:
        await recompute(connection)
        told = await compare(connection, "live")
    assert told.money_diff == Decimal("4.00")
    assert "counted 0 used" in told.differences[0]
    await use(billing_pool, [call("acct_a", datetime(2026, 11, 5, tzinfo=UTC)) for _ in range(4)])
    await close(billing_pool, Period(2026, 11), ManualClock(datetime(2026, 12, 2, tzinfo=UTC)))
    # What was paid once is gone, whatever the counter says: one yuan was left of the five.
    assert await admin.fetchval("SELECT sum(applied) FROM billing.credit_application") == Decimal("5.00")
    receivable = await admin.fetchval(
        "SELECT sum(amount) FROM billing.posting WHERE ledger_account = 'receivable'"
    )
    assert receivable == Decimal("3.00")


async def test_while_our_books_can_only_be_read_nobody_is_charged(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, gateway_pool: asyncpg.Pool, database: Database
) -> None:
    """The same accident from the other side: what is not written down is not asked for."""
    async with collecting(admin, billing_pool, gateway_pool) as house:
        await house.invoiced()
        settings = {"ordergate.account": "*", "default_transaction_read_only": "on"}
        async with asyncpg.create_pool(
            **database.as_role(BILLING, settings), min_size=1, max_size=2
        ) as reading:
            for _ in range(3):
                with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                    await Collector(reading, house.provider, house.clock).turn()
        assert house.stripe.requests == []
        await house.collect()
        assert len(house.stripe.store.all("invoice")) == 1


async def test_the_same_fact_posted_under_new_ids_is_told_before_it_is_billed(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, tmp_path: Path
) -> None:
    """Mackerel, 2019 to 2022: several senders posted one measurement again under ids of their own, and all were counted."""
    await add_account(admin, "acct_a")
    await add_account(admin, "acct_b")
    await add_price(admin, "price")
    posted = [call("acct_a", OCTOBER_5), call("acct_a", OCTOBER_5), call("acct_a", OCTOBER_5)]
    others = [call("acct_a", OCTOBER_5 + timedelta(microseconds=1)), call("acct_b", OCTOBER_5)]
    await store(billing_pool, [*posted, *others, call("acct_a", OCTOBER_5, units="2")], "import")
    # Our own calls carry ids of our own making: two at one moment are two.
    await store(billing_pool, [call("acct_b", OCTOBER_5), call("acct_b", OCTOBER_5)])
    await roll_up_all(billing_pool)
    clock = ManualClock(datetime(2026, 10, 20, tzinfo=UTC))

    async def live() -> Report:
        async def sleep(seconds: float) -> None:
            clock.advance(seconds)

        found = await reconcile(billing_pool, lambda _: {}, tmp_path, (), clock=clock, sleep=sleep)
        return found[-1]

    report = await live()
    assert report.agrees, "nothing is dropped: it is the sender who knows"
    (notice,) = report.notices
    assert notice.startswith("live acct_a 2026-10 address/validate: 2 reported events say what others say")
    assert min(one.id for one in posted) in notice
    await close(billing_pool, OCTOBER, CLOSED)
    assert (await live()).notices == ()


async def test_an_id_that_a_sender_uses_again_for_another_fact_is_told_and_neither_fact_is_lost(
    gateway: RunningGateway, billing_pool: asyncpg.Pool
) -> None:
    """Lago and a provider's own toolkit: ids that were not what they were said to be, and what came second was dropped or
    counted twice without a word."""
    key = await gateway.create_key(await gateway.open_account())
    moment = datetime.now(UTC).isoformat()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": BATCH}

    async def told(*events: dict[str, Any]) -> dict[str, Any]:
        reply = await gateway.client.post(PATH, content=json.dumps(events), headers=headers)
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        return found

    def fact(id_: str, units: str) -> dict[str, Any]:
        return event(id_, time=moment, data={"units": units})

    (accepted,) = (await told(fact("1", "3")))["results"]
    # Once in a batch of its own and once beside others, as a counter that starts anew makes it.
    for batch in ((fact("1", "5"),), (fact("2", "1"), fact("1", "5"), fact("2", "4"))):
        reply = await told(*batch)
        assert reply["conflicts"] == sum(one["result"] == "conflict" for one in reply["results"]) >= 1
        for sent, one in zip(batch, reply["results"], strict=True):
            assert one["id"] == sent["id"]
            if one["result"] == "conflict":
                (differs,) = one["errors"]
                assert (differs["pointer"], differs["rule"]) == ("/data/units", "differs")
    (conflict,) = (await told(fact("1", "5")))["results"]
    assert conflict["call_id"] == accepted["call_id"], "the fact that it is in conflict with"
    (again,) = (await told(fact("1", "3")))["results"]
    assert again["result"] == "duplicate"
    # What was refused under the wrong name is taken under one of its own.
    assert (await told(fact("1 of the second run", "5")))["accepted"] == 1
    rows = await billing_pool.fetch("SELECT units FROM billing.usage_event ORDER BY units")
    assert [row["units"] for row in rows] == [1, 3, 5]


async def test_probes_health_checks_and_replays_are_nobodys_usage(
    gateway: RunningGateway, billing_pool: asyncpg.Pool, tmp_path: Path
) -> None:
    """Several products of this field billed the traffic by which they watched and repaired themselves."""
    key = await gateway.create_key(await gateway.open_account())
    adjust = {"sku": "A", "warehouse": "WH1", "quantity": 10, "reason": "count"}
    for _ in range(5):
        reply = await gateway.call(key, "stock/adjust", adjust, Idempotency_Key="once")
        assert reply.status_code == 200
    assert (await gateway.client.get("/healthz")).status_code == 200
    probed = await Prober(
        billing_pool, str(gateway.client.base_url), tmp_path / "probe.jsonl", ManualClock(OCTOBER_5)
    ).take_round()
    assert probed is not None
    assert (probed.missed, probed.probed > 5) == ((), True)
    await Flow(billing_pool, gateway.home.journals, None, CLOSED).ship()
    rows = await billing_pool.fetch("SELECT operation, billable FROM billing.usage_event")
    assert [tuple(row) for row in rows] == [("stock/adjust", True)]
    metrics = (await gateway.client.get("/metrics")).text
    assert 'ordergate_calls_refused_total{reason="replayed"} 4.0' in metrics
    assert 'reason="unauthenticated"' not in metrics, "an alarm on refusals sees callers, not our own probe"
    assert f"ordergate_probes_total {probed.probed}.0" in metrics


async def test_a_guess_at_a_key_is_counted_as_refused_whoever_it_says_it_is(gateway: RunningGateway) -> None:
    """What the probe is spared is no hiding place: who calls itself the probe and sends a credential is a caller."""
    as_probe = {"User-Agent": PROBE_AGENT}
    for headers in (as_probe, {**as_probe, "Authorization": "Bearer og_live_guess"}, {}):
        reply = await gateway.client.post("/v1/stock/adjust", json={}, headers=headers)
        assert reply.status_code == 401
    metrics = (await gateway.client.get("/metrics")).text
    assert 'ordergate_calls_refused_total{reason="unauthenticated"} 2.0' in metrics
    assert "ordergate_probes_total 1.0" in metrics
