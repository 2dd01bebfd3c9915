"""The database itself refuses what would spoil the books, whoever of the product's roles asks and however it is put."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest

from billing.desk import close
from billing.invoice.rate_pending import rate_pending
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from deploy.database import Database
from deploy.roles import BILLING, GATEWAY, OWNER, READER
from tests.usage_books import add_account, add_price, call, use

OCTOBER = Period(2026, 10)
NOVEMBER_2 = ManualClock(datetime(2026, 11, 2, tzinfo=UTC))
ISSUED = "inv_live_acct_a_2026-10"
DRAFT = "inv_live_acct_b_2026-11"
REFUSED = (asyncpg.IntegrityConstraintViolationError, asyncpg.InsufficientPrivilegeError)

# A transaction of somebody else's day, balanced and committed long ago.
_OLD = "(SELECT min(id) FROM billing.ledger_transaction)"
_NEW = (
    "WITH new AS (INSERT INTO billing.ledger_transaction (environment, kind, source, booked_at) "
    "VALUES ('live', 'rating', 'hostile', now()) RETURNING id) "
    "INSERT INTO billing.posting SELECT id, entry.* FROM new, (VALUES {entries}) AS entry"
)


def _new(*entries: str) -> str:
    return _NEW.format(entries=", ".join(entries))


_POSTINGS = {
    "unbalanced": _new("(1, 'acct_a', 'accrued', 'CNY', 1.00)", "(2, 'house', 'earnings:address', 'CNY', -0.99)"),
    "one-sided": _new("(1, 'acct_a', 'accrued', 'CNY', 1.00)"),
    "balanced only across currencies": _new(
        "(1, 'acct_a', 'accrued', 'CNY', 1.00)", "(2, 'house', 'earnings:address', 'USD', -1.00)"
    ),
    "not a number": _new("(1, 'acct_a', 'accrued', 'CNY', 'NaN'::numeric)", "(2, 'house', 'cash', 'CNY', 'NaN'::numeric)"),
    "without end": _new(
        "(1, 'acct_a', 'accrued', 'CNY', 'Infinity'::numeric)", "(2, 'house', 'cash', 'CNY', '-Infinity'::numeric)"
    ),
    "nothing at all": _new("(1, 'acct_a', 'accrued', 'CNY', 0)"),
    "in a currency that the account does not have": _new(
        "(1, 'acct_a', 'accrued', 'USD', 1.00)", "(2, 'house', 'earnings:address', 'USD', -1.00)"
    ),
    "in no currency": _new("(1, 'acct_a', 'accrued', NULL, 1.00)", "(2, 'house', 'cash', NULL, -1.00)"),
    "of nobody": _new("(1, NULL, 'accrued', 'CNY', 1.00)", "(2, NULL, 'cash', 'CNY', -1.00)"),
    "two halves that balance only together": (
        "WITH one AS (INSERT INTO billing.ledger_transaction (environment, kind, source, booked_at) "
        "VALUES ('live', 'rating', 'one', now()), ('live', 'rating', 'two', now()) RETURNING id) "
        "INSERT INTO billing.posting SELECT id, 1, 'acct_a', 'accrued', 'CNY', 2 * (row_number() OVER ()) - 3 FROM one"
    ),
    "without a transaction": (
        "INSERT INTO billing.posting VALUES (999999, 1, 'acct_a', 'accrued', 'CNY', 1.00), "
        "(999999, 2, 'house', 'earnings:address', 'CNY', -1.00)"
    ),
    "of no transaction": (
        "INSERT INTO billing.posting VALUES (NULL, 1, 'acct_a', 'accrued', 'CNY', 1.00), "
        "(NULL, 2, 'house', 'earnings:address', 'CNY', -1.00)"
    ),
    "onto a transaction of another day": (
        f"INSERT INTO billing.posting VALUES ({_OLD}, 8, 'acct_a', 'accrued', 'CNY', 1.00), "  # noqa: S608 - constants of this file
        f"({_OLD}, 9, 'house', 'earnings:address', 'CNY', -1.00)"
    ),
    "in books that nobody reads": (
        "INSERT INTO billing.ledger_transaction (environment, kind, source, booked_at) "
        "VALUES ('elsewhere', 'rating', 'hostile', now())"
    ),
    "a second time under one source": (
        "INSERT INTO billing.ledger_transaction (environment, kind, source, booked_at) "
        "SELECT environment, kind, source, booked_at FROM billing.ledger_transaction LIMIT 1"
    ),
}  # fmt: skip

_RATED = (
    "INSERT INTO billing.rated_line (account_id, environment, subscription_id, operation, price_version, period, step, "
    "currency, calls_before, calls_after, units_before, units_after, amount, amount_after, precise_after, trace, split, "
    "invoice_id, rated_at) VALUES ('{account}', '{environment}', 'hostile', 'address/validate', 'price', '2026-10-01', 1, "
    "'{currency}', 0, 1, 0, 1, 1, 1, 1, '[]', '[]', '{invoice}', now())"
)
_FROZEN = (
    "INSERT INTO billing.invoice_line VALUES ('{invoice}', '{account}', 99, 'address/validate', 'price', '2026-10-01', "
    "1, 1, '{currency}', 1, 1, '[]', '[]', false)"
)
_CHARGED = (
    "INSERT INTO billing.charge_line (account_id, environment, kind, service, name, period, step, currency, base, amount, "
    "amount_after, detail, invoice_id, booked_at) VALUES ('{account}', '{environment}', 'fee', '', '', '2026-10-01', 1, "
    "'{currency}', 0, 1, 1, '{{}}', '{invoice}', now())"
)
_WHERE = {
    "on an issued document": {"invoice": ISSUED},
    "on no document": {"invoice": "inv_live_acct_a_1999-01"},
    "on another account's document": {"invoice": DRAFT},
    "in another currency than its document": {"invoice": DRAFT, "account": "acct_b", "currency": "USD"},
    "on a document of the other books": {"invoice": DRAFT, "account": "acct_b", "environment": "test"},
}
_LINES = {
    f"a {what} line {where}": statement.format(
        **{"account": "acct_a", "currency": "CNY", "environment": "live", **fields}
    )
    for what, statement in (("rated", _RATED), ("frozen", _FROZEN), ("charge", _CHARGED))
    for where, fields in _WHERE.items()
    if what != "frozen" or "environment" not in fields
}
_DOCUMENTS = {
    "a draft that has lines is thrown away": f"DELETE FROM billing.invoice WHERE id = '{DRAFT}'",  # noqa: S608 - constants of this file
    "a document in books that nobody reads": (
        "INSERT INTO billing.invoice (id, account_id, environment, period, kind, currency, state, created_at) "
        "VALUES ('hostile', 'acct_a', 'elsewhere', '2026-12-01', 'statement', 'CNY', 'draft', now())"
    ),
    "an invoice of less than nothing": (
        "INSERT INTO billing.invoice (id, account_id, environment, period, kind, currency, state, created_at, number, "
        "total, issued_at) VALUES ('hostile', 'acct_a', 'live', '2026-12-01', 'invoice', 'CNY', 'issued', now(), 'X', "
        "-0.01, now())"
    ),
}
_EVERY = {**_POSTINGS, **_LINES, **_DOCUMENTS}


@pytest.fixture
async def books(admin: asyncpg.Connection, billing_pool: asyncpg.Pool) -> None:
    """An issued October of `acct_a`, and an open November of `acct_b`."""
    for account in ("acct_a", "acct_b"):
        await add_account(admin, account)
    await add_price(admin, "price")
    await use(billing_pool, [call("acct_a", datetime(2026, 10, 5, tzinfo=UTC)) for _ in range(20)])
    await close(billing_pool, OCTOBER, NOVEMBER_2)
    await use(billing_pool, [call("acct_b", datetime(2026, 11, 1, 12, tzinfo=UTC))])
    await rate_pending(billing_pool, NOVEMBER_2)


@pytest.fixture(params=[BILLING, OWNER])
async def role(
    request: pytest.FixtureRequest, database: Database, books: None
) -> AsyncIterator[asyncpg.Connection]:
    """A connection of a role that writes into the books, with every account in scope."""
    connection = await asyncpg.connect(**database.as_role(request.param, {"ordergate.account": "*"}))
    yield connection
    await connection.close()


async def _everything(admin: asyncpg.Connection) -> list[list[asyncpg.Record]]:
    tables = ("ledger_transaction", "posting", "rated_line", "charge_line", "invoice_line", "invoice")
    return [await admin.fetch(f"SELECT * FROM billing.{table} ORDER BY 1, 2") for table in tables]  # noqa: S608 - constants of this file


async def test_what_would_spoil_the_books_is_refused_and_leaves_nothing(
    role: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    before = await _everything(admin)
    accepted = []
    for name, statement in _EVERY.items():
        try:
            async with role.transaction():
                await role.execute(statement)
            accepted.append(name)
        except REFUSED:
            continue
    assert accepted == []
    assert await _everything(admin) == before


async def test_rows_are_not_copied_past_the_row_policies(
    role: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    before = await _everything(admin)
    with pytest.raises(asyncpg.FeatureNotSupportedError):
        await role.execute("COPY billing.posting FROM STDIN")
    assert await _everything(admin) == before


async def test_what_a_session_sets_about_itself_switches_no_check_off(role: asyncpg.Connection) -> None:
    unbalanced = _POSTINGS["unbalanced"]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await role.execute("SET session_replication_role = replica")
    for setting in (
        "SET CONSTRAINTS ALL DEFERRED",
        "SET search_path = pg_temp, billing, public",
        "SET row_security = off",
    ):
        with pytest.raises(REFUSED):
            await role.execute(f"{setting}; {unbalanced}")


async def test_a_stand_in_for_what_the_checks_read_changes_nothing(
    role: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    """A temporary table of the name that a check reads by, or a function that it calls."""
    before = await _everything(admin)
    for table, like in (
        ("added", "posting"),
        ("posting", "posting"),
        ("ledger_transaction", "ledger_transaction"),
    ):
        await role.execute(f"CREATE TEMPORARY TABLE {table} (LIKE billing.{like})")
    await role.execute("SET search_path = pg_temp, pg_catalog")
    for name in ("unbalanced", "without a transaction", "onto a transaction of another day"):
        with pytest.raises(REFUSED):
            await role.execute(_POSTINGS[name])
    assert await _everything(admin) == before


async def test_billing_owns_nothing_it_could_put_in_a_checks_way(database: Database, books: None) -> None:
    connection = await asyncpg.connect(**database.as_role(BILLING, {"ordergate.account": "*"}))
    try:
        for statement in (
            "CREATE SCHEMA hostile",
            "CREATE FUNCTION public.sum(numeric) RETURNS numeric LANGUAGE sql AS 'SELECT 0.0'",
            "CREATE FUNCTION billing.check_added_balance() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "ALTER TABLE billing.posting DISABLE TRIGGER balanced",
            "DROP TRIGGER balanced ON billing.posting",
            "CREATE TABLE pg_temp.child () INHERITS (billing.posting)",
            "CREATE RULE hostile AS ON INSERT TO billing.posting DO INSTEAD NOTHING",
            f"SET ROLE {OWNER}",
            "DELETE FROM billing.posting",
            f"DELETE FROM billing.invoice WHERE id = '{DRAFT}'",  # noqa: S608 - constants of this file
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize("scope", ["acct_b", ""])
@pytest.mark.parametrize("name", [BILLING, OWNER])
async def test_within_one_accounts_scope_no_others_books_are_written(
    database: Database, admin: asyncpg.Connection, books: None, name: str, scope: str
) -> None:
    before = await _everything(admin)
    connection = await asyncpg.connect(**database.as_role(name, {"ordergate.account": scope}))
    try:
        for statement in (
            _new("(1, 'acct_a', 'accrued', 'CNY', 1.00)", "(2, 'house', 'earnings:address', 'CNY', -1.00)"),
            _new("(1, 'acct_b', 'accrued', 'CNY', 1.00)", "(2, 'acct_a', 'accrued', 'CNY', -1.00)"),
            *_LINES.values(),
        ):
            with pytest.raises(REFUSED):
                await connection.execute(statement)
    finally:
        await connection.close()
    assert await _everything(admin) == before


@pytest.mark.parametrize("name", [GATEWAY, READER])
async def test_the_gateway_and_the_reader_write_nothing_into_the_books(
    database: Database, books: None, name: str
) -> None:
    connection = await asyncpg.connect(**database.as_role(name, {"ordergate.account": "*"}))
    try:
        for statement in (
            _new("(1, 'acct_a', 'accrued', 'CNY', 1.00)", "(2, 'house', 'earnings:address', 'CNY', -1.00)"),
            *_LINES.values(),
            *_DOCUMENTS.values(),
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize("issue_first", [True, False])
async def test_a_line_and_the_issue_of_its_document_never_pass_each_other(
    database: Database, admin: asyncpg.Connection, books: None, issue_first: bool
) -> None:
    """Two sessions that hold no lock of the product's: whoever comes second sees what the first one did."""
    first, second = [
        await asyncpg.connect(**database.as_role(BILLING, {"ordergate.account": "*"})) for _ in range(2)
    ]
    line = _RATED.format(invoice=DRAFT, account="acct_b", currency="CNY", environment="live")
    issue = f"UPDATE billing.invoice SET state = 'issued', number = 'X-1', total = 1, issued_at = now() WHERE id = '{DRAFT}'"  # noqa: S608 - constants of this file
    try:
        held = first.transaction()
        await held.start()
        await first.execute(issue if issue_first else line)
        waiting = asyncio.create_task(second.execute(line if issue_first else issue))
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done, "the second one waits for the first"
        await held.commit()
        if issue_first:
            with pytest.raises(asyncpg.RestrictViolationError):
                await waiting
        else:
            await waiting
        lines = await admin.fetchval(
            "SELECT count(*) FROM billing.rated_line WHERE subscription_id = 'hostile'"
        )
        assert lines == (0 if issue_first else 1)
    finally:
        await first.close()
        await second.close()


async def test_what_is_added_with_its_transaction_in_several_statements_is_one_booking(
    database: Database, admin: asyncpg.Connection, books: None
) -> None:
    """The checks hold nobody up who does it right: under savepoints, and pair by pair."""
    connection = await asyncpg.connect(**database.as_role(BILLING, {"ordergate.account": "*"}))
    pair = "INSERT INTO billing.posting VALUES ($1, $2, 'acct_a', 'accrued', 'CNY', 1), ($1, $3, 'house', 'x', 'CNY', -1)"
    try:
        async with connection.transaction():
            async with connection.transaction():
                booked = await connection.fetchval(
                    "INSERT INTO billing.ledger_transaction (environment, kind, source, booked_at) "
                    "VALUES ('live', 'rating', 'own', now()) RETURNING id"
                )
            await connection.execute(pair, booked, 1, 2)
            async with connection.transaction():
                await connection.execute(pair, booked, 3, 4)
        assert (
            await admin.fetchval("SELECT count(*) FROM billing.posting WHERE transaction_id = $1", booked)
            == 4
        )
        with pytest.raises(REFUSED):
            await connection.execute(pair, booked, 5, 6)
    finally:
        await connection.close()


async def test_what_runs_with_the_owners_rights_is_for_those_who_need_it_and_no_way_around_the_books(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    rows = await admin.fetch(
        "SELECT oid::regproc::text AS name, role FROM pg_proc, unnest($1::text[]) AS role "
        "WHERE prosecdef AND has_function_privilege(role, oid, 'EXECUTE') ORDER BY 1, 2",
        [BILLING, GATEWAY, READER],
    )
    assert [tuple(row) for row in rows] == [("billing.ensure_day", BILLING), ("billing.ensure_day", GATEWAY)]
    async with billing_pool.acquire() as connection, connection.transaction():
        await connection.execute("CREATE TEMPORARY TABLE trap (LIKE billing.dispute) ON COMMIT DROP")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with connection.transaction():
                await connection.execute(
                    "CREATE TRIGGER spring AFTER INSERT ON trap FOR EACH ROW EXECUTE FUNCTION billing.hold_disputed()"
                )
