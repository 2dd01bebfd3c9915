"""A month close that loses its connection at any statement is simply repeated, with the same result."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count, pairwise
from typing import Any

import asyncpg

from billing.desk import close
from billing.invoice.rate_pending import rate_pending
from billing.prepaid.grants import grant_credit
from billing.rebuild import verify
from billing.transaction import all_accounts
from catalog.accounts.account import find_account
from catalog.accounts.contract_terms import ContractTerms, set_terms
from catalog.accounts.tax import TaxRate, set_tax_rate
from catalog.passport import Passport, check_passport
from catalog.usage_event import UsageEvent
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from deploy.database import Database
from deploy.roles import BILLING, GATEWAY
from tests.fakes.journal_disk import is_torture
from tests.passports import echo_document
from tests.sla_books import miss, publish
from tests.usage_books import FALLING, GRADUATED, PROFILE, add_account, add_price, call, use

_MONTHS = 240
_FIRST = Period(2016, 1)


class _Fuse:
    """Counts down to the statement that the connection is lost at: before it, or just after it was done."""

    def __init__(self, left: int, *, after_commit: bool) -> None:
        self.left = left
        self._after_commit = after_commit

    def burns(self, statement: str, *, done: bool) -> bool:
        if done != self._after_commit or (done and not statement.startswith("COMMIT")):
            return False
        self.left -= 1
        return self.left == 0


def _connection_class(fuse: _Fuse) -> type[asyncpg.Connection]:
    class Fused(asyncpg.Connection):
        """A connection that is cut when its fuse burns down."""

        async def _run(self, method: Any, statement: str, *args: Any, **options: Any) -> Any:
            self._cut(fuse.burns(statement, done=False))
            result = await method(statement, *args, **options)
            self._cut(fuse.burns(statement, done=True))
            return result

        def _cut(self, burnt: bool) -> None:
            if burnt:
                self.terminate()
                raise ConnectionResetError("the connection is cut")

        async def execute(self, query: str, *args: Any, **options: Any) -> Any:
            return await self._run(super().execute, query, *args, **options)

        async def executemany(self, command: str, *args: Any, **options: Any) -> Any:
            return await self._run(super().executemany, command, *args, **options)

        async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
            return await self._run(super().fetch, query, *args, **options)

        async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
            return await self._run(super().fetchrow, query, *args, **options)

        async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
            return await self._run(super().fetchval, query, *args, **options)

    return Fused


def _usage(period: Period, account: str, calls: int) -> list[UsageEvent]:
    return [call(account, datetime(period.year, period.month, 5, tzinfo=UTC)) for _ in range(calls)]


def _passport() -> Passport:
    """Half of the month's charges for any month that is not up all the time."""
    objective = {"id": "up", "measure": "availability", "at_least": "100", "operation": "validate"}
    credit = {
        "objective": "up",
        "schedule": [{"at_least": "100", "credit_pct": "0"}, {"at_least": "0", "credit_pct": "50"}],
    }
    document = echo_document()
    (echo,) = document["operations"]
    return check_passport(
        {
            **document,
            "service": "address",
            "operations": [{**echo, "id": "validate"}],
            "plans": [],
            "sla": {"window": "month", "objectives": [objective], "credits": [credit]},
        }
    )


async def _outcome(admin: asyncpg.Connection, period: Period) -> list[tuple[Any, ...]]:
    """What a close left behind, without what counts on from month to month."""
    rows = await admin.fetch(
        """
        SELECT invoice.account_id, kind, state, invoice.total, missing, left(number, -12),
               operation, calls, units, amount, precise, trace, split, corrects,
               (SELECT array_agg((line.kind, line.service, line.amount)::text ORDER BY line.id) FROM billing.charge_line AS line
                WHERE line.invoice_id = invoice.id) AS charged,
               (SELECT array_agg((note.reason, note.total)::text ORDER BY note.number) FROM billing.credit_note AS note
                WHERE note.source LIKE 'net_credit:' || invoice.id || ':%') AS credited,
               (SELECT sum(applied) FROM billing.credit_application WHERE invoice_id = invoice.id) AS paid,
               (SELECT array_agg((became, back.amount)::text ORDER BY back.id) FROM billing.credit_restoration AS back
                JOIN billing.credit_note AS note ON note.invoice_id = back.invoice_id
                WHERE note.source LIKE 'net_credit:' || invoice.id || ':%') AS restored,
               (SELECT array_agg((service, unit, revenue, credits)::text ORDER BY service, unit) FROM billing.transfer
                WHERE document_id = invoice.id) AS transferred,
               (SELECT array_agg((kind, ledger_account, posting.amount)::text ORDER BY kind, position)
                FROM billing.ledger_transaction JOIN billing.posting ON transaction_id = ledger_transaction.id
                WHERE source = 'invoice:' || invoice.id OR source IN
                    (SELECT 'dispute:' || id FROM billing.dispute WHERE invoice_id = invoice.id)) AS posted
        FROM billing.invoice LEFT JOIN billing.invoice_line ON invoice_id = invoice.id
        WHERE period = $1 ORDER BY invoice.account_id, position
        """,
        period.first_day,
    )
    return [tuple(row) for row in rows]


async def _agree(database: Database) -> None:
    """Every document has a fee, a discount and a top-up, and the invoices a tax as well."""
    gateway = await asyncpg.connect(**database.as_role(GATEWAY, {"ordergate.account": "*"}))
    by: Mapping[str, Any] = {"actor": "operator@test", "now": datetime(2016, 1, 1, tzinfo=UTC)}
    async with gateway.transaction():
        for name in ("acct_a", "acct_x"):
            agreed = ContractTerms("", "", _FIRST.first_day, Decimal("2.00"), Decimal(5), Decimal("40.00"))
            await set_terms(gateway, await find_account(gateway, name), agreed, **by)
        await set_tax_rate(gateway, TaxRate("CN", "", _FIRST.first_day, "VAT", Decimal(6)), **by)
    await gateway.close()


async def test_a_close_killed_at_any_statement_ends_as_if_it_had_not_been(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await add_account(admin, "acct_a", timezone="UTC")
    await add_account(admin, "acct_x", timezone="UTC", kind="external", profile={**PROFILE, "country": "CN"})
    await _agree(database)
    await add_price(admin, "price", model="graduated", price=GRADUATED)
    # Every month misses its availability, so that every document has a credit as well.
    await publish(admin, _passport())
    months = [_FIRST]
    while len(months) < _MONTHS:
        months.append(months[-1].next())
    for month in months:
        await miss(admin, "address/validate", datetime(month.year, month.month, 17, tzinfo=UTC), 60)
    await use(
        billing_pool,
        [one for month in months for one in _usage(month, "acct_a", 12) + _usage(month, "acct_x", 3)],
    )
    await rate_pending(billing_pool, ManualClock(_after(months[0])), limit=2 * _MONTHS)
    await use(billing_pool, _usage(months[0], "acct_a", 5))
    await close(billing_pool, months[0], ManualClock(_after(months[0])))
    months_left = pairwise(months)
    expected = None
    for after_commit in (True, False):
        # Lost at the first, second, third … statement (every third one in the quick form), each in a month of its own,
        # until none is left to lose.
        for statement in count(1, 1 if is_torture() or after_commit else 3):
            previous, period = next(months_left)
            clock = ManualClock(_after(period))
            # Calls of this month that are not rated yet, and a late one of the month before, whose document is issued.
            await use(billing_pool, _usage(period, "acct_a", 5) + _usage(previous, "acct_a", 1))
            fuse = _Fuse(statement, after_commit=after_commit)
            killed = await _close_until_cut(database, fuse, period, clock)
            await _given_up(admin)
            await close(billing_pool, period, clock)
            outcome = await _outcome(admin, period)
            expected = expected or outcome
            assert outcome == expected, (
                f"killed {'after commit' if after_commit else 'before statement'} {statement}"
            )
            if not killed:
                break
        # What is read for all accounts, and each account: three transactions.
        assert statement > (3 if after_commit else 60)
    assert await verify(billing_pool, ()) == []


async def test_a_close_with_credit_notes_commitments_grants_and_disputes_ends_the_same_wherever_it_is_killed(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    for name, kind in (("acct_c", "internal"), ("acct_p", "internal"), ("acct_x", "external")):
        await add_account(admin, name, kind, timezone="UTC", profile=PROFILE)
    await add_price(admin, "price", model="volume", price=FALLING)
    await publish(admin, _passport())
    await _commit_to(database, "acct_c", Decimal("200.00"), months=2)
    async with all_accounts(billing_pool) as connection:
        terms: Mapping[str, Any] = {"category": "paid", "priority": 1, "valid_until": None, "actor": "test"}
        for name in ("acct_p", "acct_x"):
            account = await find_account(connection, name)
            await grant_credit(
                connection, account, "live", Decimal(10**6), now=_FIRST.bounds("UTC")[0], **terms
            )
    # An odd month is closed; the even one behind it takes back more of it than it charges, and ends the commitment.
    first, expected = _FIRST, None
    for after_commit in (True, False):
        for statement in count(1, 1 if is_torture() else 9):
            second = first.next()
            await use(billing_pool, [one for name in _NAMES for one in _usage(first, name, 10)])
            await close(billing_pool, first, ManualClock(_after(first)))
            await use(billing_pool, [one for name in _NAMES for one in _usage(second, name, 5)])
            clock = ManualClock(_after(second))
            await rate_pending(billing_pool, clock)
            await use(billing_pool, _usage(first, "acct_x", 10))
            await _contest(admin, second)
            fuse = _Fuse(statement, after_commit=after_commit)
            killed = await _close_until_cut(database, fuse, second, clock)
            await _given_up(admin)
            await close(billing_pool, second, clock)
            outcome = await _outcome(admin, second)
            expected = expected or outcome
            assert outcome == expected, (
                f"killed {'after commit' if after_commit else 'before statement'} {statement}"
            )
            first = second.next()
            if not killed:
                break
        assert statement > (1 if after_commit else 60)
    told = str(expected)
    for part in ("true_up", "net_credit", "dispute_held", "prepaid", "(credit,"):
        assert part in told, f"no document had a {part}"
    assert await verify(billing_pool, ()) == []


_NAMES = ("acct_c", "acct_p", "acct_x")


async def _commit_to(database: Database, name: str, spend: Decimal, months: int) -> None:
    gateway = await asyncpg.connect(**database.as_role(GATEWAY, {"ordergate.account": "*"}))
    async with gateway.transaction():
        agreed = ContractTerms("", "", _FIRST.first_day, committed_spend=spend, committed_months=months)
        now = datetime(2016, 1, 1, tzinfo=UTC)
        await set_terms(gateway, await find_account(gateway, name), agreed, actor="operator@test", now=now)
    await gateway.close()


async def _contest(admin: asyncpg.Connection, period: Period) -> None:
    """One yuan of the draft of `acct_p`, to be held when it is issued."""
    invoice_id = f"inv_live_acct_p_{period}"
    await admin.execute("SET ordergate.account = '*'")
    await admin.execute(
        "INSERT INTO billing.dispute (id, account_id, environment, invoice_id, line, service, operation, currency, amount, "
        "reason, opened_at, opened_by) VALUES ('dsp_' || $1, 'acct_p', 'live', $1, $3, 'address', 'address/validate', "
        "'CNY', 1.00, 'too much', $2, 'key/x')",
        invoice_id,
        _after(period),
        f"usage address/validate {period} price",
    )


async def _given_up(admin: asyncpg.Connection) -> None:
    """Wait until the server has ended what the cut connection had begun: until then the next month's usage is not
    rolled up, because a transaction that is still open might yet add to it."""
    while await admin.fetchval(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() "
        "AND datname = current_database())"
    ):
        await asyncio.sleep(0.005)


def _after(period: Period) -> datetime:
    return datetime(period.next().year, period.next().month, 2, tzinfo=UTC)


async def _close_until_cut(database: Database, fuse: _Fuse, period: Period, clock: ManualClock) -> bool:
    """Close over connections with this fuse; whether it burnt down."""
    pool = await asyncpg.create_pool(
        **database.as_role(BILLING), min_size=1, max_size=1, connection_class=_connection_class(fuse)
    )
    try:
        await close(pool, period, clock)
    except (ConnectionError, asyncpg.InterfaceError):
        return True
    finally:
        pool.terminate()
    return False
