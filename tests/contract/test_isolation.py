"""Two accounts with data in every table: neither sees, changes nor meets what is the other's, whatever it asks."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from deploy.roles import BILLING, GATEWAY, READER
from gateway.control.api import ENDPOINTS
from gateway.control.books import Books
from gateway.control.endpoint import LIMIT
from gateway.stores.unit_of_work import PostgresUnitsOfWork, open_pool
from gateway.unit_of_work import DatabaseAway, UnitsOfWork
from tests.contract.two_accounts import Installation, Owner, two_accounts
from tests.databases import DatabaseServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

# What has no account of its own. A new table is either here, after some thought, or has a row policy.
NOBODYS = {
    "catalog.passport", "catalog.price_version", "catalog.audit", "catalog.review", "catalog.submission", "catalog.person", "gateway.sign_in_link", "gateway.session", "billing.ship_offset", "billing.watermark",
    "billing.invoice_number", "billing.ledger_transaction",
    "billing.maintenance", "billing.probe_minute", "billing.sla_judgement", "billing.sla_figure", "billing.sla_alarm", "billing.close_calendar", "billing.lease_holder",
    "billing.webhook_event", "catalog.tax_rate", "catalog.seller",
}  # fmt: skip


# Only B has had a month that was closed.
BOOKS_OF_B = {
    "billing.invoice",
    "billing.invoice_line",
    "billing.rated_line",
    "billing.posting",
    "billing.usage_hour",
    "billing.service_interval",
    "billing.latency_day",
    "billing.charge_line",
    "billing.credit_application",
    "billing.credit_restoration",
    "billing.approval",
    "billing.credit_note",
    "billing.credit_note_line",
    "billing.dispute",
    "billing.dispute_hold",
    "billing.dispute_ruling",
    "billing.dispute_credit",
    "billing.transfer",
    "billing.reminder",
    "billing.settlement_entry",
}
ROLES = (GATEWAY, READER, BILLING)
# Partitions whose rows are looked for in the whole table.
_PARTITION = re.compile(r"usage_event_\d|seen_\d")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installed(
    database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    """Made once: every test leaves B as it was, and says so."""
    async with two_accounts(database_server, tmp_path_factory.mktemp("isolation")) as installation:
        yield installation


async def _names_of(installed: Installation, owner: Owner) -> set[str]:
    """Whatever names something of the account: its ids, numbers and the ids of its calls as the API writes them."""
    found = {owner.id, owner.key, owner.key[:20], owner.application_id}
    for rows in (await installed.rows_of(owner)).values():
        for row in rows:
            for column in ("id", "public_id", "number", "subscription_id", "invoice_id", "call_id"):
                if isinstance(value := row.get(column), str):
                    found |= {value, value.replace("-", "")}
    return found


async def test_calls_are_answered_as_if_the_account_were_alone(installed: Installation) -> None:
    for mine, theirs in zip(installed.a.replies, installed.b.replies, strict=True):
        assert mine.status_code == theirs.status_code == 200
        assert "idempotent-replayed" not in mine.headers
        assert mine.headers["ordergate-call-id"] != theirs.headers["ordergate-call-id"]
        assert _own_words(mine, installed.a) == _own_words(theirs, installed.b)


_CALLS_OWN = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+Z|call_[0-9a-f]{32}")


def _own_words(reply: httpx.Response, owner: Owner) -> str:
    """A reply without what is each call's own: moments, ids of calls, and the ids of the one who called."""
    text = reply.text.replace(owner.id, "account").replace(owner.application_id, "application")
    return _CALLS_OWN.sub("…", text)


async def test_no_operation_reaches_another_accounts_stock(installed: Installation) -> None:
    gateway, a, b = installed.gateway, installed.a, installed.b
    stocked = {"sku": "only-b", "warehouse": "N", "quantity": 9, "reason": "x"}
    await gateway.call(b.key, "stock/adjust", stocked, Idempotency_Key="only-b")
    held = {"reservation_id": "only-b", "lines": [{"sku": "only-b", "quantity": 4}], "ttl_s": 600}
    assert (await gateway.call(b.key, "stock/reserve", held)).status_code == 200
    before = await installed.rows_of(b)
    for operation, body in (
        ("confirm", {"reservation_id": "only-b"}),
        ("release", {"reservation_id": "only-b"}),
        ("extend", {"reservation_id": "only-b", "ttl_s": 60}),
    ):
        refused = await gateway.call(a.key, f"stock/{operation}", body)
        unknown = await gateway.call(a.key, f"stock/{operation}", {**body, "reservation_id": "no-one"})
        assert refused.status_code == unknown.status_code == 404
        assert _wording(refused, "only-b") == _wording(unknown, "no-one")
    seen = (await gateway.call(a.key, "stock/availability", {"skus": ["only-b"]})).json()
    assert (seen["levels"], seen["skus"][0]["on_hand"]) == ([], 0)
    assert (await gateway.call(a.key, "stock/reserve", {**held, "reservation_id": "mine"})).status_code == 409
    assert await installed.rows_of(b) == before


async def test_every_list_of_the_control_plane_is_without_the_others_data(installed: Installation) -> None:
    theirs = await _names_of(installed, installed.b) - await _names_of(installed, installed.a)
    assert len(theirs) > 30
    before = await installed.rows_of(installed.b)
    lists = [endpoint for endpoint in ENDPOINTS if endpoint.method == "GET" and "{" not in endpoint.path]
    paths = [endpoint.path for endpoint in lists]
    paths += [f"{one.path}?limit=1000" for one in lists if LIMIT in one.parameters]
    for path in [*paths, "/api/usage?period=2026-10"]:
        reply = await installed.ask(installed.a, "GET", path)
        assert reply.status_code == 200, (path, reply.text)
        shown = sorted(name for name in theirs if name in reply.text)
        assert not shown, (path, shown)
    assert await installed.rows_of(installed.b) == before


# For each route that names one thing: what names something of B's, and what names nothing at all.
_FOREIGN: dict[str, tuple[str, str]] = {
    "read_call": ("{call_id}", "call_019a9d3c5a7e7c03a1f2b3c4d5e6f708"),
    "read_invoice": ("2026-10", "2026-08"),
    "revoke_key": ("{key_id}", "og_live_000000000000"),
    "read_service": ("bench", "teleport"),
    "read_service_level": ("bench", "teleport"),
    "read_outcome": ("{call_id}", "call_019a9d3c5a7e7c03a1f2b3c4d5e6f708"),
    "report_outcome": ("{call_id}", "call_019a9d3c5a7e7c03a1f2b3c4d5e6f708"),
    "decline_result": ("{result_id}", "result_019a9d3c5a7e7c03a1f2b3c4d5e6f708"),
    "simulate_price": ("bench", "teleport"),
    "open_dispute": ("2026-10", "2026-08"),
    "list_disputes": ("2026-10", "2026-08"),
    "approve_document": ("2026-10", "2026-08"),
    "read_chargeback": ("2026-10", "2026-08"),
    "read_credit_note": ("{note}", "CN-2026-999999"),
}
_DRAFT = {"operation": "echo", "currency": "CNY", "model": "per_unit", "price": {"unit_price": "1"}}
_BODIES = {
    "simulate_price": {
        "period": "2026-10",
        "plans": [{"id": "bench", "audience": "both", "effective_from": "2027-01-01", "prices": [_DRAFT]}],
    },
    "report_outcome": {"outcome": "wrong", "reason": "came back"},
    "decline_result": {"reason": "not ours"},
    "open_dispute": {"line": 1, "amount": "0.01", "reason": "not ours"},
    "approve_document": {},
}


async def test_what_is_anothers_is_not_found_like_what_does_not_exist(installed: Installation) -> None:
    a, b = installed.a, installed.b
    before = await installed.rows_of(b)
    call_id = next(row["id"] for row in before["billing.usage_event"] if row["environment"] == "live")
    note = next(row for row in before["billing.credit_note"] if row["environment"] == "live")
    (result,) = before["billing.result_step"]
    for endpoint in (one for one in ENDPOINTS if "{" in one.path):
        theirs, nobodys = _FOREIGN[endpoint.id]
        named = theirs.format(
            call_id=f"call_{call_id.replace('-', '')}",
            key_id=b.key[:20],
            note=note["number"],
            result_id=f"result_{result['result_id'].replace('-', '')}",
        )
        place = re.compile(r"\{.+\}")
        body = _BODIES.get(endpoint.id)
        if endpoint.method == "GET":
            assert (await installed.ask(b, "GET", place.sub(named, endpoint.path))).status_code == 200, (
                endpoint.id
            )
        foreign = await installed.ask(a, endpoint.method, place.sub(named, endpoint.path), body)
        unknown = await installed.ask(a, endpoint.method, place.sub(nobodys, endpoint.path), body)
        assert foreign.status_code == unknown.status_code == 404, endpoint.id
        assert _wording(foreign, named) == _wording(unknown, nobodys), endpoint.id
    wanted = {"scopes": ["*"], "application": b.application_id}
    foreign = await installed.ask(a, "POST", "/api/keys", wanted)
    unknown = await installed.ask(a, "POST", "/api/keys", {**wanted, "application": "app_none"})
    assert foreign.status_code == unknown.status_code == 400
    assert _wording(foreign, b.application_id) == _wording(unknown, "app_none")
    made = await installed.ask(a, "POST", "/api/keys", {"scopes": ["*"]})
    assert made.json()["key"]["application_id"] == a.application_id
    assert await installed.rows_of(b) == before


def _wording(reply: httpx.Response, named: str) -> str:
    """The document without what the caller itself had named, and without the id of this very reply."""
    return reply.text.replace(named, "…").replace(reply.json()["instance"], "")


async def test_every_table_is_an_accounts_under_a_row_policy_or_known_to_be_nobodys(
    installed: Installation,
) -> None:
    rows = await installed.gateway.admin.fetch(
        "SELECT c.oid::regclass::text AS name, relrowsecurity AND relforcerowsecurity AS is_protected "
        "FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE n.nspname IN ('catalog', 'gateway', 'billing', 'stock') AND c.relkind IN ('r', 'p', 'v', 'm')"
    )
    accounts = {table.name for table in installed.tables}
    assert {row["name"] for row in rows if row["is_protected"]} == accounts
    assert {row["name"] for row in rows} - accounts == NOBODYS


async def test_a_role_in_one_accounts_scope_sees_no_row_of_another_in_any_table(
    installed: Installation,
) -> None:
    a, b = installed.a, installed.b
    whole = {name: rows for name, rows in (await installed.rows_of(b)).items() if not _PARTITION.search(name)}
    assert len(whole) >= 19
    empty = [name for name, rows in whole.items() if not rows]
    assert not empty, "give B a row in each, or this test says nothing of them"
    for role in ROLES:
        connection = await asyncpg.connect(**installed.database.as_role(role))
        try:
            for table in installed.tables:
                if not await table.is_readable(connection):
                    continue
                async with connection.transaction():
                    assert await table.count(connection) == 0, "without a scope there is no row"
                    await connection.execute("SELECT set_config('ordergate.account', $1, true)", a.id)
                    seen = await table.count(connection)
                    assert seen == await table.count(connection, a.id), (role, table.name)
                    assert seen or table.name not in whole or table.name in BOOKS_OF_B, (role, table.name)
        finally:
            await connection.close()


async def test_a_role_in_one_accounts_scope_writes_no_row_of_another_into_any_table(
    installed: Installation,
) -> None:
    a, b = installed.a, installed.b
    before = await installed.rows_of(b)
    for role in ROLES:
        connection = await asyncpg.connect(**installed.database.as_role(role, {"ordergate.account": a.id}))
        try:
            for table in installed.tables:
                if await table.may(connection, "INSERT") and before[table.name]:
                    # A trigger may come before the policy: it finds no draft, since it sees no invoice of B either.
                    with pytest.raises(asyncpg.PostgresError, match=r"row-level security|is not a draft"):
                        await table.insert_copy(connection, before[table.name][0])
                if await table.may(connection, "DELETE"):
                    assert await table.delete(connection, b.id) == "DELETE 0"
                for column in await table.updatable(connection):
                    assert await table.update(connection, column, b.id) == "UPDATE 0", (table.name, column)
        finally:
            await connection.close()
    assert await installed.rows_of(b) == before


async def _seen(connection: Any) -> list[str]:
    return [row["id"] for row in await connection.fetch("SELECT id FROM catalog.account")]


async def _fail(units: UnitsOfWork, account_id: str, failure: str) -> None:
    """A call that ends in the middle of its transaction."""
    async with units.begin(account_id) as unit:
        assert await _seen(unit.connection) == [account_id]
        await unit.connection.execute("UPDATE stock.level SET on_hand = on_hand + 1")
        match failure:
            case "statement":
                await unit.connection.execute("SELECT 1 / 0")
            case "timeout":
                async with asyncio.timeout(0.05):
                    await unit.connection.execute("SELECT pg_sleep(5)")
            case "cancelled":
                await unit.connection.execute("SELECT pg_sleep(5)")
            case "committed":
                await unit.commit()
        raise RuntimeError


async def test_nothing_of_a_failed_call_is_left_on_its_connection(installed: Installation) -> None:
    a, b = installed.a, installed.b
    # One connection, so that whoever comes next gets what the one before has left.
    pool = await open_pool(installed.database.as_role(GATEWAY), 1)
    units = PostgresUnitsOfWork(pool)
    for failure in ("exception", "statement", "timeout", "cancelled", "committed"):
        running = asyncio.create_task(_fail(units, a.id, failure))
        if failure == "cancelled":
            await asyncio.sleep(0.1)
            running.cancel()
        with pytest.raises((RuntimeError, DatabaseAway, asyncpg.DivisionByZeroError, asyncio.CancelledError)):
            await running
        async with pool.acquire() as connection:
            assert not connection.is_in_transaction(), failure
            assert not await connection.fetchval("SELECT current_setting('ordergate.account', true)"), failure
            assert await _seen(connection) == [], failure
        async with units.begin(b.id) as unit:
            assert await _seen(unit.connection) == [b.id], failure
            rows = await unit.connection.fetch("SELECT account_id FROM stock.level")
            assert {row["account_id"] for row in rows} == {b.id}, failure
    pool.terminate()


async def test_nothing_of_a_failed_question_is_left_on_its_connection(installed: Installation) -> None:
    a, b = installed.a, installed.b
    writer = await open_pool(installed.database.as_role(GATEWAY), 1)
    books = Books(installed.database.as_role(READER), writer)
    for open_books in (books.read, books.write):
        for _ in range(5):
            with contextlib.suppress(asyncpg.DivisionByZeroError):
                async with open_books(a.id) as transaction:
                    assert await _seen(transaction) == [a.id]
                    await transaction.execute("SELECT 1 / 0")
            async with open_books(b.id) as transaction:
                assert await _seen(transaction) == [b.id]
    await books.close()
    writer.terminate()
