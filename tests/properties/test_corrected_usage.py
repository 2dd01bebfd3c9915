"""However reported usage is corrected, its month comes to what the last quantities, reported at once, would have come to."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.desk import Correction, Report, close
from billing.invoice.rate_pending import rate_pending
from billing.ledger.balances import balances
from billing.rate import Cell, Cells, Events, Usage, rate
from billing.rebuild import verify
from billing.transaction import all_accounts
from catalog.plan import parse_price
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from tests.fakes.journal_disk import is_torture
from tests.reported_usage import accepted, report
from tests.usage_books import FALLING, GRADUATED, add_account, add_price, call, roll_up_all

OCTOBER = Period(2026, 10)
OCTOBER_2 = datetime(2026, 10, 2, 4, tzinfo=UTC)
NOVEMBER_2 = datetime(2026, 11, 2, tzinfo=UTC)
PRICES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "per_unit": ("per_unit", {"unit_price": "0.0333", "minimum": "0.40"}),
    "graduated": ("graduated", GRADUATED),
    "volume": ("volume", FALLING),
    "package": ("package", {"package_size": "4", "package_price": "1.205", "free_units": "3"}),
    "percentage": (
        "percentage",
        {"rate_pct": "7", "fixed_per_event": "0.30", "free_amount": "5", "max_per_event": "2"},
    ),
    "matrix": (
        "matrix",
        {
            "dimensions": ["lane"],
            "cells": [{"dimensions": {"lane": "cn-de"}, "unit_price": "0.1045"}],
            "default": "0.0501",
        },
    ),
}
_accounts = count(1)
_units = st.sampled_from(["1", "0.5", "6", "12.25", "40"])
# A batch is reports and corrections (of which event, to what), some of them of what the same batch reports; and then perhaps
# a roll-up with a rating, or the close of the month.
_reports = st.tuples(st.just("report"), st.sampled_from(sorted(PRICES)), _units)
_corrections = st.tuples(st.just("correct"), st.integers(0, 30), st.one_of(st.just("0"), _units))
_batches = st.lists(
    st.tuples(
        st.lists(st.one_of(_reports, _corrections), min_size=1, max_size=6),
        st.sampled_from(["", "rate", "close"]),
    ),
    min_size=1,
    max_size=6,
)


class _Sender:
    """A source that knows what it reported, and the last id of each event."""

    def __init__(self, account_id: str) -> None:
        self.account_id = account_id
        self.first: list[Report] = []
        self.last: list[tuple[str, str]] = []

    def report(self, price_id: str, units: str) -> Report:
        """A new event, later than all before it."""
        number = len(self.first)
        lane = ("cn-de", "", "cn-us")[number % 3]
        event = call(
            self.account_id,
            OCTOBER_2 + timedelta(minutes=number),
            operation=f"stock/{price_id}",
            price_version=price_id,
            units=units,
            dimensions=(("lane", lane),) if price_id == "matrix" and lane else (),
        )
        self.first.append(report(event, str(number)))
        self.last.append((str(number), units))
        return self.first[-1]

    def correct(self, number: int, units: str) -> Correction:
        """The quantity of an event anew."""
        event, (corrects, _) = self.first[number].event, self.last[number]
        id_ = f"{corrects}+"
        self.last[number] = id_, units
        return Correction(
            self.first[number].source,
            id_,
            hashlib.sha256(f"{corrects} {units}".encode()).digest(),
            corrects,
            event.operation,
            event.occurred_at_ns,
            event.class_,
            event.dimensions,
            Decimal(units),
            "key",
        )

    def owes(self) -> dict[str, Decimal]:
        """What the month comes to by price, of the last quantities alone."""
        values: dict[str, list[tuple[str, Decimal]]] = {}
        for one, (_, units) in zip(self.first, self.last, strict=True):
            lane = dict(one.event.dimensions).get("lane", "")
            values.setdefault(one.event.price_version, []).append((lane, Decimal(units)))
        return {price_id: _one_shot(price_id, found) for price_id, found in values.items()}


def _one_shot(price_id: str, found: list[tuple[str, Decimal]]) -> Decimal:
    measured: Any = sum((units for _, units in found), Decimal(0))
    if price_id == "percentage":
        measured = Events(tuple(units for _, units in found if units))
    elif price_id == "matrix":
        measured = Cells(tuple(Cell({"lane": lane}, units) for lane, units in found if units))
    return rate(parse_price(*PRICES[price_id]), Usage(measured), "CNY").amount


@pytest.fixture
async def books(admin: asyncpg.Connection, billing_pool: asyncpg.Pool) -> asyncpg.Pool:
    for price_id, (model, price) in PRICES.items():
        await add_price(admin, price_id, f"stock/{price_id}", model, price)
    return billing_pool


@settings(
    max_examples=100 if is_torture() else 12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(batches=_batches)
async def test_a_month_is_what_the_last_quantities_come_to_whatever_was_said_before(
    admin: asyncpg.Connection,
    books: asyncpg.Pool,
    gateway_pool: asyncpg.Pool,
    batches: list[tuple[list[tuple[str, Any, str]], str]],
) -> None:
    sender = _Sender(f"acct_{next(_accounts)}")
    await add_account(admin, sender.account_id)
    for actions, step in batches:
        batch: list[Report | Correction] = []
        for kind, which, units in actions:
            if kind == "report":
                batch.append(sender.report(which, units))
            elif sender.first:
                batch.append(sender.correct(which % len(sender.first), units))
        received = await accepted(gateway_pool, batch, NOVEMBER_2, sender.account_id)
        assert [one.reception for one in received] == ["accepted"] * len(batch)
        if step:
            await roll_up_all(books)
            await rate_pending(books, ManualClock(NOVEMBER_2))
        if step == "close":
            await close(books, OCTOBER, ManualClock(NOVEMBER_2))
    await roll_up_all(books)
    assert not (await rate_pending(books, ManualClock(NOVEMBER_2))).unratable
    rows = await admin.fetch(
        "SELECT price_version, sum(amount) AS amount, sum(calls_after - calls_before)::bigint AS calls "
        "FROM billing.rated_line WHERE account_id = $1 AND period = '2026-10-01' GROUP BY 1",
        sender.account_id,
    )
    assert {row["price_version"]: row["amount"] for row in rows} == sender.owes()
    assert sum(row["calls"] for row in rows) == len(sender.first)
    async with all_accounts(books) as connection:
        assert sum(one.amount for one in await balances(connection, "live")) == 0
    assert await verify(books, ()) == []
