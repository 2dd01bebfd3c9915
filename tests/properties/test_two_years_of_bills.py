"""Two years of bills on twelve calendars, with changing prices, contracts, taxes and late calls: product equals model."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

import asyncpg
import msgspec
import pytest

from billing.desk import close, issue_held
from billing.invoice.month import Month as BookedMonth
from billing.invoice.rate_pending import rate_pending
from billing.rebuild import verify
from catalog.accounts.account import find_account
from catalog.accounts.contract_terms import ContractTerms, set_terms
from catalog.accounts.tax import TaxRate, set_tax_rate
from catalog.load import PriceVersion
from catalog.plan import parse_price
from catalog.vocabulary.clock import ManualClock, to_ns
from catalog.vocabulary.ids import new_event_id
from catalog.vocabulary.period import Period
from deploy.database import Database
from deploy.roles import GATEWAY
from tests.fakes.journal_disk import is_torture
from tests.properties.slow_bill import (
    Month,
    SlowAccount,
    SlowBiller,
    SlowCall,
    SlowPrice,
    SlowTerms,
    version_of,
)
from tests.usage_books import PROFILE, add_account, call, use

ZONES = (
    "Europe/Berlin",
    "Pacific/Kiritimati",
    "America/St_Johns",
    "Asia/Shanghai",
    "Pacific/Pago_Pago",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/New_York",
    "Asia/Jakarta",
    "Pacific/Chatham",
    "Africa/Casablanca",
    "Asia/Dubai",
)
STORED_NS = to_ns(datetime(2027, 1, 1, tzinfo=UTC))
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
TIERS = [
    {"up_to": "20", "unit_price": "0.0555", "flat_fee": "0"},
    {"up_to": "60", "unit_price": "0.0333", "flat_fee": "0.50"},
    {"up_to": None, "unit_price": "0.0271", "flat_fee": "0.25"},
]
CAPACITIES = [
    {"max": {"calls": "3", "units_per_day": "25", "calls_per_hour": "1"}, "price": "2.22"},
    {"max": {"calls": "5", "units_per_day": "45", "calls_per_hour": "1"}, "price": "4.71"},
    {"max": None, "price": "9.19"},
]
MODELS = (
    ("graduated", {"tiers": TIERS}),
    ("volume", {"tiers": TIERS}),
    ("per_unit", {"unit_price": "0.0715", "free_units": "9"}),
    ("per_unit", {"unit_price": "0.0333", "minimum": "3.33", "maximum": "5.55"}),
    ("package", {"package_size": "10", "package_price": "0.9", "free_units": "3", "round": "up"}),
    ("flat", {"amount": "7.77"}),
    ("capacity", {"tiers": CAPACITIES}),
)


def _months(first: Month, count: int) -> list[Month]:
    found = [first]
    while len(found) < count:
        year, month = found[-1]
        found.append((year + month // 12, month % 12 + 1))
    return found


def _prices(random: Random, months: Sequence[Month]) -> Iterator[SlowPrice]:
    """Each operation has a price from long ago, which changes on some days, now and then within a month."""
    for operation in ("address/parse", "address/validate"):
        changes = [date(2020, 1, 1)]
        changes += [date(*month, random.randint(1, 28)) for month in months if random.random() < 0.4]
        for number, begins_on in enumerate(changes, 1):
            model, fields = random.choice(MODELS)
            yield SlowPrice(f"{operation}@{number}", operation, begins_on, model, fields)


def _account(random: Random, zone: str, months: Sequence[Month], *, external: bool) -> SlowAccount:
    terms = []
    if random.random() < 0.8:
        spend = random.choice((0, 0, 30_00))
        first = date(*random.choice(months[:3]), 1 if spend else random.randint(1, 28))
        terms.append(_terms(random, first, spend))
        if random.random() < 0.5 and not spend:
            terms.append(_terms(random, date(*months[len(months) // 2], 1), 0))
    calls = [one for number in range(len(months)) for one in _calls(random, zone, months, number)]
    return SlowAccount(zone, tuple(terms), {2027: 6, 2028: 7} if external else {}, tuple(calls))


def _terms(random: Random, starts_on: date, spend: int) -> SlowTerms:
    return SlowTerms(
        starts_on,
        random.choice((1, 2_00, 3_33)),
        random.choice((0, 5, 33)),
        random.choice((0, 0, 4_00, 10_01)),
        spend,
        3 if spend else 0,
    )


def _calls(random: Random, zone: str, months: Sequence[Month], number: int) -> Iterator[SlowCall]:
    start, end = Period(*months[number]).bounds(zone)
    span_us = int((end - start) / timedelta(microseconds=1))
    edges = (0, 1, span_us - 1, span_us // 2)
    for _ in range(random.choice((0, 3, 6, 9))):
        at = random.choice(edges) if random.random() < 0.3 else random.randrange(span_us)
        late = random.choice((0, 0, 0, 0, 1, 2, 5))
        known = min(number + late, len(months) - 1)
        operation = random.choice(("address/parse", "address/validate"))
        yield SlowCall(start + timedelta(microseconds=at), operation, random.randint(1, 30), known)


async def _open(
    admin: asyncpg.Connection,
    database: Database,
    accounts: Sequence[SlowAccount],
    prices: Sequence[SlowPrice],
) -> None:
    for number, price in enumerate(prices, 1):
        await admin.execute(
            "INSERT INTO catalog.price_version (id, service, plan_id, audience, operation, currency, version, effective_from, "
            "effective_on, billable_on, model, price, published_at) "
            "VALUES ($1, 'address', 'plan', 'both', $2, 'CNY', $3, $4, $5, 'success', $6, $7, $4)",
            price.id,
            price.operation,
            number,
            LONG_AGO + timedelta(microseconds=number),
            price.begins_on,
            price.model,
            msgspec.json.encode(price.fields).decode(),
        )
    gateway = await asyncpg.connect(**database.as_role(GATEWAY, {"ordergate.account": "*"}))
    async with gateway.transaction():
        for year, pct in ((2027, 6), (2028, 7)):
            rate = TaxRate("CN", "", date(year, 1, 1), "VAT", Decimal(pct))
            await set_tax_rate(gateway, rate, actor="test", now=LONG_AGO)
    for number, one in enumerate(accounts):
        kind, profile = ("external", {**PROFILE, "country": "CN"}) if one.taxes else ("internal", None)
        await add_account(admin, f"acct_{number}", kind=kind, timezone=one.zone, profile=profile)
        async with gateway.transaction():
            found = await find_account(gateway, f"acct_{number}")
            for agreed in one.terms:
                cents = (agreed.fee, agreed.minimum, agreed.committed)
                fee, minimum, committed = (Decimal(amount) / 100 for amount in cents)
                terms = ContractTerms(
                    "",
                    "",
                    agreed.starts_on,
                    fee,
                    Decimal(agreed.discount_pct),
                    minimum,
                    committed,
                    agreed.committed_months,
                )
                await set_terms(gateway, found, terms, actor="test", now=LONG_AGO)
    await gateway.close()


async def _close(pool: asyncpg.Pool, period: Period) -> dict[str, Decimal]:
    """What the documents of a close come to by account, those among them that somebody had to look at."""
    clock = ManualClock(period.bounds("UTC")[1] + timedelta(hours=14))
    totals: dict[str, Decimal] = {}
    left = True
    while left:
        report = await close(pool, period, clock)
        issued = list(report.issued)
        for held in report.left_draft:
            if held.reason == "unusual-amount":
                month = BookedMonth(held.account_id, "live", Period.parse(held.period))
                issued.append(await issue_held(pool, month, actor="test", clock=clock))
        for one in issued:
            totals[one.account_id] = totals.get(one.account_id, Decimal(0)) + one.total
        left = bool(report.left_draft)
    return totals


def _chosen(prices: Sequence[SlowPrice], one: SlowCall, zone: str) -> str:
    """The version that the product freezes on a call, by its begin in the payer's zone."""
    versions = [
        PriceVersion(
            price.id,
            "address",
            "plan",
            price.operation,
            "CNY",
            number,
            LONG_AGO,
            "success",
            price.model,
            parse_price(price.model, price.fields),
            price.begins_on,
        )
        for number, price in enumerate(prices, 1)
        if price.operation == one.operation
    ]
    return max(
        (version for version in versions if version.begins_ns(zone) <= to_ns(one.moment)),
        key=lambda version: version.begins_ns(zone),
    ).id


@pytest.mark.parametrize("seed", range(1, 4) if is_torture() else [1])
async def test_every_document_is_what_the_slow_model_says(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database, seed: int
) -> None:
    random = Random(seed)
    months = _months((2027, 1), 24) if is_torture() else _months((2027, 10), 7)
    zones = ZONES if is_torture() else ZONES[:5]
    prices = list(_prices(random, months))
    accounts = [_account(random, zone, months, external=number % 2 == 1) for number, zone in enumerate(zones)]
    await _open(admin, database, accounts, prices)
    billers = [SlowBiller(one, prices, months) for one in accounts]
    compared = 0
    for number, month in enumerate(months):
        known = [
            call(
                f"acct_{place}",
                one.moment,
                id=new_event_id(STORED_NS).hex,
                operation=one.operation,
                price_version=_chosen(prices, one, account.zone),
                units=str(one.units),
            )
            for place, account in enumerate(accounts)
            for one in account.calls
            if one.known == number
        ]
        if known:
            await use(billing_pool, known)
        # As the flow does all along: what is late stands on the document of the month in which it became known.
        await rate_pending(billing_pool, ManualClock(datetime(*month, 20, tzinfo=UTC)))
        totals = await _close(billing_pool, Period(*month))
        for place, biller in enumerate(billers):
            due = Decimal(biller.document(number)) / 100
            assert totals.get(f"acct_{place}", Decimal(0)) == due, (seed, month, accounts[place].zone)
            compared += f"acct_{place}" in totals
    assert compared > len(months) * len(zones) // 2
    assert await verify(billing_pool, ()) == []


@pytest.mark.parametrize("zone", ZONES)
def test_a_call_is_priced_by_the_day_that_it_is_on_the_payers_calendar(zone: str) -> None:
    random = Random(zone)
    months = _months((2027, 1), 24)
    prices = list(_prices(random, months))
    for number in range(len(months)):
        for one in _calls(random, zone, months, number):
            day = one.moment.astimezone(ZoneInfo(zone)).date()
            assert _chosen(prices, one, zone) == version_of(prices, one.operation, day).id
