"""Whatever is disputed and accepted, in whatever order, the payer pays the bill that a slow model makes of what is left."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import asyncpg
import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.desk import close
from billing.invoice.dispute import reject_dispute
from billing.invoice.month import Month
from billing.transaction import all_accounts
from catalog.accounts.tax import TaxRate, set_tax_rate
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.ids import new_id
from catalog.vocabulary.period import Period
from deploy.database import Database
from deploy.roles import BILLING
from tests.databases import DatabaseServer
from tests.dispute_books import as_gateway, concede, contest, read_document
from tests.fakes.journal_disk import is_torture
from tests.properties.slow_rating import slow_minor_units
from tests.settled_books import assert_books_agree
from tests.usage_books import PROFILE, add_account, add_price, call, use

OCTOBER, NOVEMBER = Period(2026, 10), Period(2026, 11)
OCTOBER_5, NOVEMBER_2 = datetime(2026, 10, 5, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)
DECEMBER_2 = datetime(2026, 12, 2, tzinfo=UTC)
BY: Any = {"actor": "test", "now": datetime(2026, 8, 1, tzinfo=UTC)}
# In the order in which they stand on a document; a call costs as many cents as it has units.
OPERATIONS = ("address/validate", "customs/certificate", "stock/reserve")
# Percent of tax: the general rate, and that of customs.
COUNTRIES = {"HK": (0, 0), "CN": (6, 6), "US": (6, 13)}


class Terms(msgspec.Struct, frozen=True):
    """Cents and percent."""

    fee: int = 0
    discount_pct: int = 0
    minimum: int = 0


class Contract(msgspec.Struct, frozen=True):
    """On address alone, and on the whole bill; `customs_pct` is of customs alone, the general rate of the rest."""

    address: Terms
    whole: Terms
    tax_pct: int
    customs_pct: int


class Contest(msgspec.Struct, frozen=True):
    """So many percent of what is left of a line; so many percent of that are accepted, and none is a rejection."""

    line: int
    disputed_pct: int
    accepted_pct: int


PERCENT = st.sampled_from([0, 5, 20])
ANY_TERMS = st.builds(Terms, st.sampled_from([0, 200]), PERCENT, st.sampled_from([0, 0, 1_000, 6_000]))
# A minimum that is shared between groups of two rates can make a bill rise where a line falls; that is refused.
CONTRACTS = st.one_of(
    st.builds(
        lambda one, two, tax: Contract(one, two, tax, tax), ANY_TERMS, ANY_TERMS, st.sampled_from([0, 6])
    ),
    st.builds(lambda pct: Contract(Terms(), Terms(discount_pct=pct), 6, 13), PERCENT),
)
LINES = st.tuples(*[st.integers(1, 4_000) for _ in OPERATIONS])
CONTESTS = st.lists(
    st.builds(Contest, st.integers(0, 2), st.integers(1, 100), st.sampled_from([0, 40, 100])),
    min_size=1,
    max_size=3,
    unique_by=lambda one: one.line,
)


def slow_bill(lines: Sequence[int], contract: Contract) -> int:
    """A month's bill in cents: terms on address, then on the whole bill, then tax by rate."""
    address, customs, stock = lines
    address += _added(address, contract.address)
    shared = _added(address + customs + stock, contract.whole)
    general, special = address + stock, customs
    if contract.tax_pct == contract.customs_pct:
        return sum(lines) + (address - lines[0]) + shared + _tax(general + special + shared, contract.tax_pct)
    weight = general + special
    if weight:
        # By largest remainder, the general group first.
        size = abs(shared)
        parts = [Fraction(size * one, weight) for one in (general, special)]
        whole = [int(part) for part in parts]
        if sum(whole) < size:
            whole[0 if parts[0] - whole[0] >= parts[1] - whole[1] else 1] += 1
        sign = 1 if shared > 0 else -1
        general, special = general + sign * whole[0], special + sign * whole[1]
    return general + special + _tax(general, contract.tax_pct) + _tax(special, contract.customs_pct)


def _added(base: int, terms: Terms) -> int:
    amount = base + terms.fee
    amount -= slow_minor_units(Fraction(amount * terms.discount_pct, 10_000), 2)
    return max(amount, terms.minimum) - base


def _tax(base: int, percent: int) -> int:
    return slow_minor_units(Fraction(base * percent, 10_000), 2)


async def _open(admin: asyncpg.Connection, account_id: str, contract: Contract) -> None:
    country = next(
        country for country, rates in COUNTRIES.items() if rates == (contract.tax_pct, contract.customs_pct)
    )
    await add_account(admin, account_id, "external", "UTC", profile={**PROFILE, "country": country})
    for service, one in (("address", contract.address), ("", contract.whole)):
        if one != Terms():
            await admin.execute(
                "INSERT INTO catalog.account_terms (id, account_id, service, starts_on, revision, access_fee, discount_pct, "
                "minimum, committed_spend, committed_months, set_at, set_by) VALUES ($1, $2, $3, $4, 1, $5, $6, $7, 0, 0, $8, 'test')",
                new_id("terms"),
                account_id,
                service,
                OCTOBER.first_day,
                Decimal(one.fee) / 100,
                Decimal(one.discount_pct),
                Decimal(one.minimum) / 100,
                BY["now"],
            )


async def _tax_countries(database: Database) -> None:
    async with as_gateway(database) as gateway:
        for country, (general, customs) in COUNTRIES.items():
            # A service with a rate of its own is taxed, and rounded, apart.
            for service, percent in {"": general, "customs": customs if customs != general else 0}.items():
                if percent:
                    rate = TaxRate(country, service, date(2026, 1, 1), "VAT", Decimal(percent))
                    await set_tax_rate(gateway, rate, **BY)


async def _use(pool: asyncpg.Pool, account_id: str, lines: Sequence[int]) -> None:
    await use(
        pool,
        [
            call(account_id, OCTOBER_5, operation=operation, price_version=operation, units=str(cents))
            for operation, cents in zip(OPERATIONS, lines, strict=True)
            if cents
        ],
    )


async def _owed(admin: asyncpg.Connection, account_id: str) -> int:
    owed: Decimal = await admin.fetchval(
        "SELECT coalesce(sum(amount), 0) FROM billing.posting "
        "WHERE account_id = $1 AND ledger_account IN ('receivable', 'disputed')",
        account_id,
    )
    return int(owed * 100)


async def check(
    pool: asyncpg.Pool,
    admin: asyncpg.Connection,
    database: Database,
    contract: Contract,
    used: Sequence[int],
    rounds: Sequence[Sequence[Contest]],
    late: Sequence[int],
) -> None:
    account_id = new_id("acct")
    month = Month(account_id, "live", OCTOBER)
    await _open(admin, account_id, contract)
    await _use(pool, account_id, used)
    await close(pool, OCTOBER, ManualClock(NOVEMBER_2))
    lines = list(used)
    assert await _owed(admin, account_id) == slow_bill(lines, contract)
    for contests in rounds:
        opened = []
        asked = list(lines)
        for one in contests:
            if cents := lines[one.line] * one.disputed_pct // 100:
                amount = str(Decimal(cents) / 100)
                opened.append(
                    (one, cents, await contest(database, pool, month, one.line + 1, amount, NOVEMBER_2))
                )
                asked[one.line] -= cents
        held = sum(Decimal(dispute.held.amount) for _, _, dispute in opened if dispute.held)
        assert int(held * 100) == slow_bill(lines, contract) - slow_bill(asked, contract)
        for one, cents, dispute in reversed(opened):
            if part := cents * one.accepted_pct // 100:
                decided = await concede(pool, dispute.id, NOVEMBER_2, str(Decimal(part) / 100))
                lines[one.line] -= part
                assert decided.credited is not None
                assert (Decimal(decided.credited.amount) == 0) == (decided.credit_note is None)
            else:
                async with all_accounts(pool) as connection:
                    await reject_dispute(connection, dispute.id, "no", "test", NOVEMBER_2)
            assert await _owed(admin, account_id) == slow_bill(lines, contract)
    # What comes late is billed as if the month had been without what was taken off it.
    await _use(pool, account_id, late)
    # November has the same terms, and nothing of its own: it costs what the terms say.
    await close(pool, NOVEMBER, ManualClock(DECEMBER_2))
    lines = [one + more for one, more in zip(lines, late, strict=True)]
    charging = any(one.fee or one.minimum for one in (contract.address, contract.whole))
    if any(late) and charging:
        november = slow_bill([0, 0, 0], contract)
        assert await _owed(admin, account_id) == slow_bill(lines, contract) + november
        assert (await read_document(pool, Month(account_id, "live", NOVEMBER))).state == "issued"


def test_disputes_in_any_order_leave_the_bill_of_what_is_left(database_server: DatabaseServer) -> None:
    with asyncio.Runner() as runner:
        database = runner.run(database_server.create())
        admin = runner.run(asyncpg.connect(**database.admin()))
        pool: Any = runner.run(_pool(database.as_role(BILLING, {"ordergate.account": "*"})))
        for operation in OPERATIONS:
            runner.run(add_price(admin, operation, operation, price={"unit_price": "0.01"}))
        runner.run(_tax_countries(database))

        @settings(
            max_examples=200 if is_torture() else 5,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        )
        @given(
            CONTRACTS,
            LINES,
            st.lists(CONTESTS, min_size=1, max_size=2),
            st.tuples(*[st.sampled_from([0, 700]) for _ in OPERATIONS]),
        )
        def property_holds(
            contract: Contract,
            used: Sequence[int],
            rounds: Sequence[Sequence[Contest]],
            late: Sequence[int],
        ) -> None:
            runner.run(check(pool, admin, database, contract, used, rounds, late))

        try:
            property_holds()
            runner.run(assert_books_agree(pool))
        finally:
            runner.run(admin.close())
            runner.run(pool.close())
            runner.run(database_server.drop(database))


async def _pool(arguments: Any) -> asyncpg.Pool:
    return await asyncpg.create_pool(**arguments, min_size=1, max_size=2)
