"""Figures, alarms, the outside probe and verdicts, as people and programs meet them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from billing.desk import announce_maintenance, close, contest, resolve
from billing.sla.figures import refresh
from billing.sla.probe import Prober
from billing.transaction import all_accounts
from billing.view import service_level
from catalog.sla import rules_broken
from catalog.usage_event import UsageEvent
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Problem
from deploy.database import Database
from deploy.roles import BILLING
from tests.gateways import RunningGateway
from tests.sla_books import OBJECTIVES, customs_passport, miss, publish, report
from tests.usage_books import add_account, add_price, call, use

NOON = datetime(2026, 9, 17, 12, tzinfo=UTC)
SEPTEMBER = Period(2026, 9)


async def _customs(admin: asyncpg.Connection) -> None:
    await add_account(admin, "acct_a")
    await add_account(admin, "acct_b")
    await add_price(admin, "check", "customs/check", price={"unit_price": "2.00"})
    await publish(admin, customs_passport())


def _checked(account: str, moment: datetime, **fields: Any) -> UsageEvent:
    return call(account, moment, operation="customs/check", price_version="check", **fields)


async def test_an_account_reads_what_all_attained_and_its_own_figures(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _customs(admin)
    day = NOON - timedelta(hours=3)
    await use(billing_pool, [_checked("acct_a", day, latency_us=149_000) for _ in range(19)])
    await use(billing_pool, [_checked("acct_a", day, latency_us=151_000)])
    await use(
        billing_pool,
        [_checked("acct_b", day, class_="provider_error"), _checked("acct_b", day, class_="caller_error")],
    )
    await miss(admin, "customs/screen", day, 5)
    await refresh(billing_pool, "house", ManualClock(NOON))
    async with all_accounts(billing_pool) as connection:
        level = await service_level(connection, customs_passport(), SEPTEMBER, "acct_a", "Asia/Shanghai")
    papers, up, speed, errors = level.objectives
    assert papers.attained is not None
    assert (papers.attained.light, papers.attained.measured) == ("unknown", "0 %")
    assert up.attained is not None
    assert (up.attained.light, up.attained.attained_pct, up.attained.budget_left_pct) == (
        "good",
        "99.9884",
        "61.4197",
    )
    assert speed.own is not None
    assert (speed.own.light, speed.own.attained_pct, speed.own.measured) == ("warn", "95", "149 ms")
    assert errors.attained is not None
    assert errors.own is not None
    assert (errors.attained.light, errors.attained.measured, errors.attained.attained_pct) == (
        "bad",
        "4.762 %",
        "95.238",
    )
    assert (errors.own.light, errors.own.measured) == ("good", "0 / 20")
    assert [len(one.days) for one in level.objectives] == [0, 30, 30, 30]
    assert [len(one.months) for one in level.objectives] == [12, 12, 12, 12]
    assert errors.days[-1].light == "bad"
    assert errors.days[-2].light == "unknown"


async def test_an_alarm_is_announced_once_an_episode_and_ends_by_itself(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _customs(admin)
    clock = ManualClock(NOON)
    await use(
        billing_pool,
        [_checked("acct_a", NOON - timedelta(minutes=3 * n), class_="provider_error") for n in range(1, 20)],
    )

    async def announced() -> list[str]:
        rows = await admin.fetch(
            "SELECT payload ->> 'rule' AS rule FROM catalog.outbox WHERE kind = 'sla.burning' ORDER BY 1"
        )
        return [row["rule"] for row in rows]

    for _ in range(3):
        await refresh(billing_pool, "house", clock)
        clock.advance(60)
    assert await announced() == ["fast", "slow", "steady"]
    clock.advance(2 * 3600)
    await refresh(billing_pool, "house", clock)
    open_ = await admin.fetch("SELECT rule FROM billing.sla_alarm WHERE ended_at IS NULL")
    assert [row["rule"] for row in open_] == ["slow"]
    moment = datetime(2026, 9, 17, 14, tzinfo=UTC)
    await use(
        billing_pool,
        [_checked("acct_a", moment + timedelta(minutes=n), class_="provider_error") for n in range(3)],
    )
    clock.advance(300)
    await refresh(billing_pool, "house", clock)
    assert await announced() == ["fast", "fast", "slow", "steady", "steady"]
    async with all_accounts(billing_pool) as connection:
        level = await service_level(connection, customs_passport(), SEPTEMBER, None, "UTC")
    assert {alarm.objective for alarm in level.alarms} == {"errors"}


async def test_a_contested_verdict_counts_only_once_it_is_upheld(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _customs(admin)
    calls = [_checked("acct_a", NOON + timedelta(seconds=n)) for n in range(3)]
    await use(billing_pool, calls)
    for one in calls:
        await report(admin, one, NOON + timedelta(days=1))

    async def counted() -> str:
        async with all_accounts(billing_pool) as connection:
            level = await service_level(connection, customs_passport(), SEPTEMBER, "acct_a", "UTC")
        assert level.objectives[0].own is not None
        return level.objectives[0].own.measured

    assert await counted() == "3 / 3"
    first, second, third = (one.uuid for one in calls)
    async with admin.transaction():
        await admin.execute("SET LOCAL ordergate.account = '*'")
        for call_id in (first, second):
            assert (
                await contest(admin, call_id, "not ours", "operator", NOON + timedelta(days=2))
            ).state == "contested"
        with pytest.raises(Problem, match="contested before"):
            await contest(admin, first, "again", "operator", NOON)
        with pytest.raises(Problem, match="only a contested one"):
            await resolve(admin, third, "upheld", "x", "operator", NOON)
    assert await counted() == "1 / 3"
    async with admin.transaction():
        await resolve(admin, first, "upheld", "seen", "operator", NOON + timedelta(days=3))
        assert (await resolve(admin, second, "dismissed", "seen", "operator", NOON)).ruling == "seen"
    assert await counted() == "2 / 3"
    kinds = await admin.fetch("SELECT kind, count(*) FROM catalog.outbox GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in kinds] == [
        ("outcome.contested", 2),
        ("outcome.dismissed", 1),
        ("outcome.upheld", 1),
    ]
    await close(billing_pool, SEPTEMBER, ManualClock(datetime(2026, 10, 2, tzinfo=UTC)))
    async with admin.transaction():
        with pytest.raises(Problem, match="was judged with this verdict"):
            await contest(admin, third, "too late", "operator", datetime(2026, 10, 3, tzinfo=UTC))


async def test_maintenance_is_announced_ahead_in_whole_intervals_for_what_there_is(
    admin: asyncpg.Connection,
) -> None:
    await publish(admin, customs_passport())
    ahead = NOON + timedelta(hours=1)
    for subject, starts_at, ends_at, rule in (
        ("customs", NOON, ahead, "announced before"),
        ("customs", ahead, ahead, "ends after"),
        ("customs", ahead + timedelta(minutes=1), ahead + timedelta(hours=1), "whole five minutes"),
        ("customs/none", ahead, ahead + timedelta(hours=1), "Nothing is published"),
        ("none", ahead, ahead + timedelta(hours=1), "Nothing is published"),
    ):
        async with admin.transaction():
            with pytest.raises(Problem, match=rule):
                await announce_maintenance(admin, subject, starts_at, ends_at, "index", "operator", NOON)
    async with admin.transaction():
        made = await announce_maintenance(
            admin, "customs/screen", ahead, ahead + timedelta(hours=1), "index", "operator", NOON
        )
    assert (made.service, made.operation) == ("customs", "customs/screen")
    assert (
        await admin.fetchval("SELECT count(*) FROM catalog.audit WHERE action = 'maintenance.announce'") == 1
    )


async def test_calls_in_announced_maintenance_count_for_nobody(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _customs(admin)
    async with admin.transaction():
        await announce_maintenance(
            admin, "customs", NOON, NOON + timedelta(minutes=30), "move", "operator", NOON - timedelta(days=1)
        )
    await use(
        billing_pool,
        [_checked("acct_a", NOON, class_="provider_error"), _checked("acct_a", NOON, latency_us=9_000_000)],
    )
    await use(billing_pool, [_checked("acct_a", NOON + timedelta(minutes=30))])
    async with all_accounts(billing_pool) as connection:
        level = await service_level(connection, customs_passport(), SEPTEMBER, "acct_a", "UTC")
    assert [one.own.measured for one in level.objectives if one.own] == ["0 / 1", "–", "1.5 ms", "0 / 1"]


async def test_the_probe_knows_afterwards_what_it_missed_while_the_database_was_away(
    gateway: RunningGateway, database: Database, billing_pool: asyncpg.Pool, tmp_path: Path
) -> None:
    clock = ManualClock(NOON)
    kept = tmp_path / "probe.jsonl"
    found = await Prober(billing_pool, str(gateway.client.base_url), kept, clock).take_round()
    assert found is not None
    assert found.missed == ()
    assert found.probed >= 6
    assert not kept.exists()
    async with asyncpg.create_pool(**database.as_role(BILLING), min_size=1, max_size=1) as pool:
        nobody = Prober(pool, "http://127.0.0.1:9", kept, clock)
        clock.advance(60)
        await nobody.take_round()
    # The pool is closed: the database is away, and this process ends before it comes back.
    clock.advance(60)
    missed = await nobody.take_round()
    assert missed is not None
    assert len(missed.missed) == missed.probed
    with kept.open("ab") as file:
        file.write(b'\n{"minute":"2026-09-17T12:0')
    assert await billing_pool.fetchval("SELECT count(*) FROM billing.probe_minute") == 2
    clock.advance(60)
    await Prober(billing_pool, str(gateway.client.base_url), kept, clock).take_round()
    rows = await billing_pool.fetch(
        "SELECT minute, probed, cardinality(missed) AS missed FROM billing.probe_minute ORDER BY 1"
    )
    assert [row["minute"] for row in rows] == [NOON + timedelta(minutes=n) for n in range(4)]
    assert [row["missed"] for row in rows] == [0, missed.probed, missed.probed, 0]


def test_an_sla_that_cannot_be_kept_or_told_is_refused() -> None:
    def broken(**fields: Any) -> set[str]:
        passport = customs_passport()
        objective = type(passport.sla.objectives[0])(**{"id": "x", **fields})
        sla = type(passport.sla)("month", (objective,))
        return {error.rule for error in rules_broken(sla, ["check"])}

    assert broken(measure="availability", at_most="1") == {"bound"}
    assert broken(measure="availability", at_least="101") == {"percentage"}
    assert broken(measure="error_rate", at_most="0.1", operation="none") == {"reference"}
    assert broken(measure="error_rate", at_most="1") == {"range"}
    assert broken(measure="outcome_rate", outcome="x", at_most="0") == {"range"}
    assert broken(measure="latency_ms", quantile="0.95", at_most=1234) == {"range"}
    assert broken(measure="latency_ms", quantile="0.95", at_most="2.5") == set()
    assert broken(measure="latency_ms", quantile="1.0", at_most=150) == {"range"}
    assert {one["id"] for one in OBJECTIVES} == {"papers", "screening-up", "speed", "errors"}
