"""Prices by success on several calendars, with late calls: each document is what an independent model says.

A late call moves the rate of its month, of the two after it and, where the service as a whole is measured, of everybody
else's: all of that is corrected on the next document. The model is on fractions, from single calls.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import msgspec
import pytest

from billing.desk import close, issue_held
from billing.invoice.month import Month as BookedMonth
from billing.invoice.rate_pending import rate_pending
from billing.rebuild import verify
from catalog.usage_event import CallClass, UsageEvent
from catalog.vocabulary.clock import ManualClock, to_ns
from catalog.vocabulary.ids import new_event_id
from catalog.vocabulary.period import Period
from tests.fakes.journal_disk import is_torture
from tests.properties.slow_rating import slow_minor_units
from tests.usage_books import add_account, add_price, call, use

ZONES = (
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Asia/Kathmandu",
)
TIERS = (("99.5", "2.03"), ("90", "1.517"), ("50", "0.7"), ("0", "0.111"))
FACTORS = (("95", "100"), ("80", "87.5"), ("0", "33"))
UNIT_PRICE, DISCOUNT_PCT = "0.833", "3"
SAMPLE_MIN = {"one/account": 8, "two/service": 30}
_TIERS = [{"min_success_rate": rate, "unit_price": price} for rate, price in TIERS]
_FACTORS = [{"min_success_rate": rate, "factor_pct": pct} for rate, pct in FACTORS]
PRICES: dict[str, tuple[str, dict[str, Any]]] = {
    "one/account": ("success_tiered", {"tiers": _TIERS, "minimum_sample": SAMPLE_MIN["one/account"]}),
    "two/service": (
        "success_tiered",
        {"tiers": _TIERS, "minimum_sample": SAMPLE_MIN["two/service"], "measured_on": "service"},
    ),
    "three/factor": (
        "per_unit",
        {"unit_price": UNIT_PRICE, "discount_pct": DISCOUNT_PCT, "success_factor": _FACTORS},
    ),
}
_ENDINGS: Mapping[CallClass, int] = {"ok": 14, "declined": 2, "caller_error": 2, "provider_error": 3}
_STORED_NS = to_ns(datetime(2027, 1, 1, tzinfo=UTC))


class _Call(msgspec.Struct, frozen=True):
    """A call, and the number of the close that was the first to know of it. `failed`: answered, but judged a failure."""

    account: int
    moment: datetime
    operation: str
    class_: CallClass
    failed: bool
    units: int
    known: int

    @property
    def month(self) -> Period:
        """On its payer's calendar."""
        local = self.moment.astimezone(ZoneInfo(ZONES[self.account]))
        return Period(local.year, local.month)

    @property
    def event(self) -> UsageEvent:
        """As it is recorded."""
        return call(
            f"acct_{self.account}",
            self.moment,
            id=new_event_id(_STORED_NS).hex,
            operation=self.operation,
            price_version=self.operation,
            units=str(self.units),
            class_=self.class_,
            **({"outcome": "failure"} if self.failed else {}),
        )


def _calls(random: Random, months: Sequence[Period], account: int) -> Iterator[_Call]:
    for number, month in enumerate(months):
        start, end = month.bounds(ZONES[account])
        last_us = int((end - start) / timedelta(microseconds=1)) - 1
        for _ in range(random.choice((0, 4, 12, 25))):
            at = random.choice((0, last_us, random.randrange(last_us), random.randrange(last_us)))
            late = random.choice((0, 0, 0, 0, 1, 2, 4))
            (ending,) = random.choices(tuple(_ENDINGS), tuple(_ENDINGS.values()))
            yield _Call(
                account,
                start + timedelta(microseconds=at),
                random.choice(tuple(PRICES)),
                ending,
                ending == "ok" and random.random() < 0.1,
                random.randint(1, 4),
                min(number + late, len(months) - 1),
            )


def _rate_pct(calls: Sequence[_Call]) -> tuple[int, Fraction]:
    """How many calls are judged, and how many percent of them succeeded."""
    judged = [one for one in calls if one.class_ != "caller_error"]
    good = [one for one in judged if one.class_ != "provider_error" and not one.failed]
    return len(judged), Fraction(100 * len(good), len(judged)) if judged else Fraction(100)


def _bill(calls: Sequence[_Call], account: int, month: Period, known: int) -> int:
    """What a month costs by the calls known to a close, in cents."""
    heard = [one for one in calls if one.known <= known]
    return sum(_line(heard, account, month, operation) for operation in PRICES)


def _line(calls: Sequence[_Call], account: int, month: Period, operation: str) -> int:
    every = [one for one in calls if one.operation == operation]
    mine = [one for one in every if (one.account, one.month) == (account, month)]
    units = sum(one.units for one in mine if one.class_ == "ok")
    if operation == "three/factor":
        _, rate = _rate_pct(mine)
        factor = next(Fraction(pct) for bound, pct in FACTORS if rate >= Fraction(bound))
        amount = units * Fraction(UNIT_PRICE) * factor / 100 * (100 - Fraction(DISCOUNT_PCT)) / 100
        return slow_minor_units(amount, 2)
    measured = every if operation == "two/service" else [one for one in every if one.account == account]
    unit_price = TIERS[0][1]
    for window in ([month], [month, month.previous(), month.previous().previous()]):
        judged, rate = _rate_pct([one for one in measured if one.month in window])
        if judged >= SAMPLE_MIN[operation]:
            unit_price = next(price for bound, price in TIERS if rate >= Fraction(bound))
            break
    return slow_minor_units(units * Fraction(unit_price), 2)


def _document(calls: Sequence[_Call], account: int, months: Sequence[Period], number: int) -> Decimal:
    """The month itself, and what became known of the earlier ones."""
    cents = _bill(calls, account, months[number], number)
    for earlier in months[:number]:
        cents += _bill(calls, account, earlier, number) - _bill(calls, account, earlier, number - 1)
    return Decimal(cents) / 100


async def _close(pool: asyncpg.Pool, period: Period) -> dict[str, Decimal]:
    """The documents of a close by account, those among them that somebody had to look at."""
    clock = ManualClock(period.bounds("UTC")[1] + timedelta(hours=14))
    totals: dict[str, Decimal] = {}
    left = True
    while left:
        report = await close(pool, period, clock)
        issued = list(report.issued)
        for held in report.left_draft:
            assert held.reason == "unusual-amount"
            month = BookedMonth(held.account_id, "live", Period.parse(held.period))
            issued.append(await issue_held(pool, month, actor="test", clock=clock))
        for one in issued:
            totals[one.account_id] = totals.get(one.account_id, Decimal(0)) + one.total
        left = bool(report.left_draft)
    return totals


@pytest.mark.parametrize("seed", range(1, 9) if is_torture() else [1])
async def test_every_document_follows_the_success_that_was_known_to_it(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, seed: int
) -> None:
    random = Random(seed)
    months = [Period(2027, 8)]
    while len(months) < (12 if is_torture() else 5):
        months.append(months[-1].next())
    for operation, (model, price) in PRICES.items():
        await add_price(admin, operation, operation, model, price)
    for account, zone in enumerate(ZONES):
        await add_account(admin, f"acct_{account}", timezone=zone)
    calls = [one for account in range(len(ZONES)) for one in _calls(random, months, account)]
    for number, month in enumerate(months):
        await use(billing_pool, [one.event for one in calls if one.known == number])
        # As the flow does all along: what is late stands on the document of the month in which it became known.
        await rate_pending(billing_pool, ManualClock(datetime(month.year, month.month, 20, tzinfo=UTC)))
        totals = await _close(billing_pool, month)
        for account, zone in enumerate(ZONES):
            due = _document(calls, account, months, number)
            assert totals.get(f"acct_{account}", Decimal(0)) == due, (seed, month, zone)
    assert await verify(billing_pool, ()) == []
