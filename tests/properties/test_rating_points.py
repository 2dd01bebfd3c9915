"""However usage arrives and whenever it is rated, the lines of a month sum to one rating, and the ledger to zero."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import count

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.invoice.rate_pending import rate_pending
from billing.ledger.balances import balances
from billing.rate import Usage, rate
from billing.rebuild import verify
from billing.transaction import all_accounts
from catalog.plan import parse_price
from catalog.vocabulary.clock import ManualClock
from tests.usage_books import GRADUATED, add_account, add_price, call, roll_up_all, store

CLOCK = ManualClock(datetime(2026, 12, 2, tzinfo=UTC))
PRICES = {
    "graduated": ("graduated", GRADUATED),
    "volume": ("volume", GRADUATED),
    "package": ("package", {"package_size": "4", "package_price": "1.205", "free_units": "3"}),
    "minimum": ("per_unit", {"unit_price": "0.0333", "minimum": "0.40"}),
}
_accounts = count(1)

# Some calls of one price (how many, units each, month), then perhaps a roll-up, then perhaps a rating.
_calls = st.tuples(
    st.sampled_from(sorted(PRICES)),
    st.integers(1, 9),
    st.sampled_from(["1", "0.5", "2.25"]),
    st.sampled_from([10, 11]),
)
_steps = st.lists(st.tuples(_calls, st.booleans(), st.booleans()), min_size=1, max_size=6)


@pytest.fixture
async def books(admin: asyncpg.Connection, billing_pool: asyncpg.Pool) -> asyncpg.Pool:
    for price_id, (model, price) in PRICES.items():
        await add_price(admin, price_id, f"stock/{price_id}", model, price)
    return billing_pool


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_steps)
async def test_lines_sum_to_one_rating_wherever_the_rating_points_fall(
    admin: asyncpg.Connection, books: asyncpg.Pool, steps: list[tuple[tuple[str, int, str, int], bool, bool]]
) -> None:
    account_id = f"acct_{next(_accounts)}"
    await add_account(admin, account_id)
    total: dict[tuple[str, int], Decimal] = {}
    for (price_id, calls, units, month), rolled_up, rated in steps:
        moment = datetime(2026, month, 9, tzinfo=UTC)
        operation = f"stock/{price_id}"
        await store(
            books,
            [
                call(account_id, moment, operation=operation, price_version=price_id, units=units)
                for _ in range(calls)
            ],
        )
        total[price_id, month] = total.get((price_id, month), Decimal(0)) + calls * Decimal(units)
        if rolled_up:
            await roll_up_all(books)
        if rated:
            await rate_pending(books, CLOCK)
    await roll_up_all(books)
    await rate_pending(books, CLOCK)

    rows = await admin.fetch(
        "SELECT price_version, extract(month FROM period)::integer AS month, sum(amount) AS amount, "
        "sum(units_after - units_before) AS units FROM billing.rated_line WHERE account_id = $1 GROUP BY 1, 2",
        account_id,
    )
    found = {(row["price_version"], row["month"]): (row["units"], row["amount"]) for row in rows}
    assert found == {
        key: (units, rate(parse_price(*PRICES[key[0]]), Usage(units), "CNY").amount)
        for key, units in total.items()
    }
    async with all_accounts(books) as connection:
        assert sum(one.amount for one in await balances(connection, "live")) == 0
    again = await rate_pending(books, CLOCK)
    assert (again.months, again.lines) == (0, 0)
    assert await verify(books, ()) == []
