"""Whatever lowers a document in however many notes, credit comes back as a slow model says, and is there to be spent once."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.allowance import Holder, Wanted, take
from billing.audit.compare import compare
from billing.desk import CreditLine, close, issue_credit_note
from billing.ledger.balances import balances
from billing.prepaid.grants import grant_credit, grants_of
from billing.transaction import all_accounts, one_snapshot
from catalog.accounts.account import find_account
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.ids import new_id
from catalog.vocabulary.period import Period
from deploy.roles import BILLING, GATEWAY
from tests.databases import DatabaseServer
from tests.fakes.journal_disk import is_torture
from tests.usage_books import FALLING, PROFILE, add_account, add_price, call, use

OCTOBER, NOVEMBER = Period(2026, 10), Period(2026, 11)
SEPTEMBER_1, OCTOBER_5 = datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 10, 5, tzinfo=UTC)
NOVEMBER_1, NOVEMBER_2 = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)


class Given(msgspec.Struct, frozen=True):
    """A grant as it is drawn up: cents, its place among the others, whether it was paid for and is over by now."""

    cents: int
    priority: int
    is_paid: bool
    is_over: bool


GRANTS = st.lists(
    st.builds(
        Given,
        st.integers(1, 7000),
        st.sampled_from([1, 2]),
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)
NOTES = st.lists(st.integers(1, 6000), min_size=1, max_size=4)


def model(grants: list[Given], notes: list[int]) -> tuple[int, int, int]:
    """What the payer owes of a document of 100.00, what it can spend afterwards, and what of gifts is gone; cent by cent.

    Each cent of the document is paid by the first grant that has one, and each that a note takes off it is one that
    nobody has paid, or the last one that was paid.
    """
    order = sorted(range(len(grants)), key=lambda n: (grants[n].priority, not grants[n].is_over, n))
    purse = [n for n in order for _ in range(grants[n].cents)]
    paid, kept = purse[:10_000], purse[10_000:]
    owed = 10_000 - len(paid)
    back: list[int] = []
    for _ in range(min(sum(_within(notes)), 10_000)):
        if owed:
            owed -= 1
        else:
            back.append(paid.pop())
    gone = [n for n in back if grants[n].is_over and not grants[n].is_paid]
    there = [n for n in back if not grants[n].is_over or grants[n].is_paid]
    return owed, len(there) + sum(not grants[n].is_over for n in kept), len(gone)


def _within(notes: list[int]) -> list[int]:
    """The notes that a document of 100.00 has room for."""
    fitting: list[int] = []
    for cents in notes:
        if sum(fitting) + cents <= 10_000:
            fitting.append(cents)
    return fitting


async def check(
    pool: asyncpg.Pool,
    gateway: asyncpg.Connection,
    admin: asyncpg.Connection,
    grants: list[Given],
    notes: list[int],
) -> None:
    account_id = new_id("acct")
    await add_account(admin, account_id, "external", profile=PROFILE)
    async with all_accounts(pool) as connection:
        account = await find_account(connection, account_id)
        for number, one in enumerate(grants):
            await grant_credit(
                connection,
                account,
                "live",
                Decimal(one.cents) / 100,
                category="paid" if one.is_paid else "promotional",
                priority=one.priority,
                valid_until=NOVEMBER_1 if one.is_over else None,
                actor="test",
                now=SEPTEMBER_1 + timedelta(seconds=number),
            )
    await use(pool, [call(account_id, OCTOBER_5) for _ in range(10)])
    await close(pool, OCTOBER, ManualClock(NOVEMBER_2))
    for number, cents in enumerate(_within(notes)):
        async with all_accounts(pool) as connection:
            lines = [CreditLine("address", "too much", Decimal(cents) / 100)]
            document = f"inv_live_{account_id}_2026-10"
            await issue_credit_note(
                connection, document, "correction", f"{account_id}:{number}", lines, NOVEMBER_2
            )
    owed, to_spend, gone = model(grants, notes)
    async with all_accounts(pool) as connection:
        books = {
            one.ledger_account: one.amount
            for one in await balances(connection, "live")
            if one.account_id == account_id
        }
        assert books.get("receivable", 0) == Decimal(owed) / 100
        lapsed = await connection.fetchval(
            "SELECT coalesce(sum(amount), 0) FROM billing.credit_restoration WHERE account_id = $1 AND became = 'lapsed'",
            account_id,
        )
        assert lapsed == Decimal(gone) / 100
        for grant in await grants_of(connection, account_id, "live"):
            assert 0 <= grant.applied == grant.used <= grant.amount
    # Calls get all of it and not a cent more.
    for cents, is_granted in ((to_spend + 1, False), (to_spend, True)):
        wanted = Wanted(
            account_id,
            "live",
            "credit",
            "",
            NOVEMBER.first_day,
            NOVEMBER_2,
            NOVEMBER.first_day,
            Decimal(cents) / 100,
        )
        async with gateway.transaction():
            taken = await take(gateway, Holder(uuid4(), uuid4()), wanted, NOVEMBER_2, NOVEMBER_2)
        assert sum(one.amount for one in taken.leases) == (wanted.need if is_granted else 0)
    async with one_snapshot(pool) as connection:
        found = await compare(connection, "live")
        assert (found.diff, found.money_diff, found.differences) == (0, Decimal(0), ())


def test_credit_comes_back_as_a_model_that_counts_cents_says(database_server: DatabaseServer) -> None:
    with asyncio.Runner() as runner:
        database = runner.run(database_server.create())
        admin = runner.run(asyncpg.connect(**database.admin()))
        everyone = {"ordergate.account": "*"}
        gateway = runner.run(asyncpg.connect(**database.as_role(GATEWAY, everyone)))
        pool: Any = runner.run(_pool(database.as_role(BILLING, everyone)))
        runner.run(add_price(admin, "price", model="volume", price=FALLING))

        @settings(
            max_examples=200 if is_torture() else 20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        )
        @given(GRANTS, NOTES)
        def property_holds(grants: list[Given], notes: list[int]) -> None:
            runner.run(check(pool, gateway, admin, grants, notes))

        try:
            property_holds()
        finally:
            runner.run(admin.close())
            runner.run(gateway.close())
            runner.run(pool.close())
            runner.run(database_server.drop(database))


async def _pool(arguments: Any) -> asyncpg.Pool:
    return await asyncpg.create_pool(**arguments, min_size=1, max_size=2)
