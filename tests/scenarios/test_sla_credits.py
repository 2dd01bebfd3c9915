"""A missed objective is on the bill without anybody asking: once, exact, with its evidence."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg

from billing.audit.compare import compare
from billing.desk import close
from billing.invoice.month import Month
from billing.ledger.balances import balances
from billing.rebuild import verify
from billing.transaction import all_accounts, one_snapshot
from billing.view import Document, document
from catalog.usage_event import UsageEvent
from catalog.vocabulary.clock import ManualClock, from_ns
from catalog.vocabulary.period import Period
from tests.sla_books import (
    CREDITS,
    OBJECTIVES,
    customs_passport,
    demo_calls,
    miss,
    open_demo_group,
    publish,
    report,
)
from tests.usage_books import add_account, add_price, call, use

SEPTEMBER, OCTOBER, NOVEMBER = Period(2026, 9), Period(2026, 10), Period(2026, 11)


def _clock(*moment: int) -> ManualClock:
    return ManualClock(datetime(*moment, tzinfo=UTC))  # type: ignore[arg-type,misc]


async def _document(pool: asyncpg.Pool, account_id: str, period: Period) -> Document:
    async with all_accounts(pool) as connection:
        return await document(connection, Month(account_id, "live", period))


async def _credited(admin: asyncpg.Connection) -> dict[str, Decimal]:
    rows = await admin.fetch("SELECT account_id, -sum(amount) AS amount FROM billing.charge_line GROUP BY 1")
    return {row["account_id"]: row["amount"] for row in rows}


async def _assert_books_agree(pool: asyncpg.Pool) -> None:
    async with one_snapshot(pool) as connection:
        found = await compare(connection, "live")
        assert (found.diff, found.money_diff, found.differences) == (0, Decimal(0), ())
        assert sum(one.amount for one in await balances(connection, "live")) == 0
    assert await verify(pool, ()) == []


async def test_the_second_returned_set_of_papers_gives_every_account_a_tenth_of_octobers_checks_back(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await open_demo_group(admin)
    await publish(admin, customs_passport())
    year = [OCTOBER]
    while len(year) < 12:
        year.append(year[-1].previous())
    calls = [one for period in year for one in demo_calls("customs/check", period)]
    assert len(calls) == 4640
    await use(billing_pool, calls)
    october = [
        one
        for one in calls
        if one.account_id == "bu-06" and Period.of(from_ns(one.occurred_at_ns), "Asia/Shanghai") == OCTOBER
    ]
    assert len(october) == 118
    await report(admin, calls[-1], datetime(2026, 2, 3, tzinfo=UTC))
    await report(admin, october[0], datetime(2026, 10, 20, tzinfo=UTC))
    for period in reversed(year):
        await close(billing_pool, period, ManualClock(period.bounds("UTC")[1] + timedelta(hours=12)))

    credited = await _credited(admin)
    assert (sum(credited.values()), len(credited)) == (Decimal("150.59"), 38)
    assert credited["bu-06"] == Decimal("41.12")
    statement = await _document(billing_pool, "bu-06", OCTOBER)
    assert statement.total == "370.08"
    assert [(one.service, one.amount) for one in statement.services] == [("customs", "370.08")]
    charge, given = statement.lines
    assert (charge.operation, charge.amount, charge.credit) == ("customs/check", "411.20", None)
    assert (given.operation, given.amount, given.calls) == ("customs/check", "-41.12", 0)
    assert given.credit is not None
    assert (given.credit.measured, given.credit.attained_pct, given.credit.credit_pct) == (
        "2 / 4640",
        "99.9568",
        "10",
    )
    evidence = given.credit.evidence
    assert "delivered_by" not in evidence, (
        "who delivers a service, and for which share, is the group's own business"
    )
    shared = await admin.fetchval(
        "SELECT detail -> 'delivered_by' FROM billing.charge_line WHERE kind = 'credit' AND amount = -41.12"
    )
    assert json.loads(shared) == {"logistics": "22.62", "legal": "10.28", "it": "8.22"}
    assert evidence["window"] == {"first_month": "2025-11", "last_month": "2026-10", "widened": True}
    assert (evidence["outcomes"], evidence["answered"], evidence["sample_min"]) == (2, 4640, 3334)
    assert evidence["schedule_row"] == {"at_least": "99.9", "credit_pct": "10"}
    assert evidence["passport"] == {"version": "1.0.0", "revision": 1}
    september = await admin.fetchval(
        "SELECT state FROM billing.sla_judgement "
        "WHERE objective = 'papers' AND period = '2026-09-01' AND timezone = 'Asia/Shanghai'"
    )
    assert september == "met", "one would have been 0.022 %"
    assert await admin.fetchval("SELECT count(*) FROM catalog.outbox WHERE kind = 'sla.credited'") == 38
    await _assert_books_agree(billing_pool)


async def test_twenty_five_minutes_down_give_a_twentieth_of_septembers_screening_back(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await open_demo_group(admin)
    await publish(admin, customs_passport())
    await use(billing_pool, demo_calls("customs/screen", SEPTEMBER))
    await miss(admin, "customs/screen", datetime(2026, 9, 17, 2, 3, tzinfo=UTC), 25)
    await close(billing_pool, SEPTEMBER, _clock(2026, 10, 1, 12))
    credited = await _credited(admin)
    assert sum(credited.values()) == Decimal("15.38")
    assert credited["bu-06"] == Decimal("4.29")
    statement = await _document(billing_pool, "bu-06", SEPTEMBER)
    given = statement.lines[-1].credit
    assert given is not None
    assert (given.attained_pct, given.credit_pct, given.charges) == ("99.9421", "5", "85.75")
    assert given.evidence["probe"]["minutes_missed"] == 25
    assert given.evidence["intervals_lost"] == "5"
    await close(billing_pool, SEPTEMBER, _clock(2026, 10, 2))
    assert await _credited(admin) == credited, "closing again credits nothing more"
    await _assert_books_agree(billing_pool)


async def _one_account(admin: asyncpg.Connection, pool: asyncpg.Pool, **sla: Any) -> None:
    await add_account(admin, "acct_a")
    await add_price(admin, "screen", "customs/screen", price={"unit_price": "1.00"})
    await publish(admin, customs_passport(**sla))
    await use(pool, [_screened(datetime(2026, 9, 5, tzinfo=UTC))])


def _screened(moment: datetime, **fields: Any) -> UsageEvent:
    return call("acct_a", moment, operation="customs/screen", price_version="screen", **fields)


async def test_maintenance_counts_only_if_it_was_announced_before_it_began(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _one_account(admin, billing_pool)
    down = datetime(2026, 9, 17, 2, tzinfo=UTC)
    await miss(admin, "customs/screen", down, 60)
    for id_, starts_at, announced_at in (
        ("mw_ahead", down, down - timedelta(days=2)),
        ("mw_late", down + timedelta(minutes=30), down + timedelta(minutes=31)),
    ):
        await admin.execute(
            "INSERT INTO billing.maintenance VALUES ($1, 'customs', 'customs/screen', $2, $3, 'index', $4, 'operator')",
            id_,
            starts_at,
            starts_at + timedelta(minutes=30),
            announced_at,
        )
    await close(billing_pool, SEPTEMBER, _clock(2026, 10, 2))
    given = (await _document(billing_pool, "acct_a", SEPTEMBER)).lines[-1].credit
    assert given is not None
    assert given.evidence["intervals_lost"] == "6"
    assert given.evidence["intervals"] == 30 * 288 - 6
    assert [one["id"] for one in given.evidence["maintenance"]] == ["mw_ahead"]


async def test_the_terms_of_a_month_are_those_that_were_published_when_it_began(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _one_account(admin, billing_pool)
    nothing = customs_passport(objectives=OBJECTIVES, credits=())
    await publish(admin, nothing, datetime(2026, 9, 10, tzinfo=UTC))
    await miss(admin, "customs/screen", datetime(2026, 9, 17, 2, tzinfo=UTC), 25)
    await close(billing_pool, SEPTEMBER, _clock(2026, 10, 2))
    assert await _credited(admin) == {"acct_a": Decimal("0.05")}


async def test_all_credits_together_stay_below_the_maximum(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    everything = {
        "objective": "errors",
        "schedule": [{"at_least": "99.9", "credit_pct": "0"}, {"at_least": "0", "credit_pct": "60"}],
    }
    await _one_account(admin, billing_pool, credits=(*CREDITS, everything), maximum_credit_pct="62")
    await use(billing_pool, [_screened(datetime(2026, 9, 6, tzinfo=UTC), class_="provider_error")])
    await miss(admin, "customs/screen", datetime(2026, 9, 17, 2, tzinfo=UTC), 60)
    await close(billing_pool, SEPTEMBER, _clock(2026, 10, 2))
    lines = (await _document(billing_pool, "acct_a", SEPTEMBER)).lines
    assert [(one.credit.objective, one.amount) for one in lines if one.credit] == [
        ("errors", "-0.60"),
        ("screening-up", "-0.02"),
    ]
    await _assert_books_agree(billing_pool)


async def test_who_closed_before_the_month_was_over_for_all_finds_the_credit_on_the_next_document(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _one_account(admin, billing_pool)
    await add_account(admin, "acct_far", timezone="Pacific/Honolulu")
    await miss(admin, "customs/screen", datetime(2026, 9, 17, 2, tzinfo=UTC), 25)
    await close(billing_pool, SEPTEMBER, _clock(2026, 9, 30, 20))
    assert (await _document(billing_pool, "acct_a", SEPTEMBER)).total == "1.00"
    await use(billing_pool, [_screened(datetime(2026, 10, 5, tzinfo=UTC))])
    await close(billing_pool, OCTOBER, _clock(2026, 11, 2))
    october = await _document(billing_pool, "acct_a", OCTOBER)
    assert [(one.amount, one.usage_period, one.correction) for one in october.lines] == [
        ("1.00", "2026-10", False),
        ("-0.05", "2026-09", True),
    ]
    await _assert_books_agree(billing_pool)


async def test_a_charge_that_comes_late_is_credited_at_the_same_rate(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _one_account(admin, billing_pool)
    await miss(admin, "customs/screen", datetime(2026, 9, 17, 2, tzinfo=UTC), 25)
    await close(billing_pool, SEPTEMBER, _clock(2026, 10, 2))
    late = [_screened(datetime(2026, 9, 20, tzinfo=UTC)) for _ in range(3)]
    await use(billing_pool, late)
    await close(billing_pool, OCTOBER, _clock(2026, 11, 2))
    draft = await _document(billing_pool, "acct_a", NOVEMBER)
    assert [one.amount for one in draft.lines] == ["3.00", "-0.15"]
    await _assert_books_agree(billing_pool)
