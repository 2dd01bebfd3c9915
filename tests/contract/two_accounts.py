"""Two accounts that called the same under the same ids and idempotency keys, with data in every table."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import msgspec

from atomic_services import registry
from billing.desk import close
from billing.invoice.dispute import accept_dispute
from billing.transaction import all_accounts
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from deploy.database import Database
from deploy.roles import BILLING
from tests.contract.account_tables import AccountTable, account_tables
from tests.databases import DatabaseServer
from tests.gateways import RunningGateway, running_gateway
from tests.sla_books import miss
from tests.usage_books import call, use

OCTOBER = datetime(2026, 10, 12, 4, tzinfo=UTC)
NOVEMBER_22 = datetime(2026, 11, 22, tzinfo=UTC)
PRICE = "address/internal-2026/validate/CNY@1"


class Owner(msgspec.Struct, frozen=True):
    """An account, its key, and what it was answered when it called every operation."""

    id: str
    application_id: str
    key: str
    replies: tuple[httpx.Response, ...]


class Installation(msgspec.Struct, frozen=True):
    """What the tests share: A and B called the same under the same ids, A after B; B alone has had a month closed."""

    gateway: RunningGateway
    database: Database
    a: Owner
    b: Owner
    tables: tuple[AccountTable, ...]

    async def rows_of(self, owner: Owner) -> dict[str, Any]:
        """All that the database has of an account."""
        return {table.name: await table.rows(self.gateway.admin, owner.id) for table in self.tables}

    async def ask(self, owner: Owner, method: str, path: str, body: Any = None) -> httpx.Response:
        """A request to the control plane."""
        headers = {"Authorization": f"Bearer {owner.key}"}
        return await self.gateway.client.request(method, path, headers=headers, json=body)


@asynccontextmanager
async def two_accounts(server: DatabaseServer, folder: Path) -> AsyncIterator[Installation]:
    """A worker on a database of its own, and the two accounts with all that they have."""
    database = await server.create()
    admin = await asyncpg.connect(**database.admin())
    everyone = {"ordergate.account": "*"}
    async with (
        asyncpg.create_pool(**database.as_role(BILLING, everyone), min_size=1, max_size=2) as billing,
        running_gateway(database, folder / "home", admin) as gateway,
    ):
        b = await _owner(gateway, "unit-b", {"bench": "bench"})
        a = await _owner(gateway, "unit-a", {})
        sold = [call(b.id, OCTOBER, application_id=b.application_id, price_version=PRICE) for _ in range(3)]
        await use(billing, sold)
        # Five hours away on one day, so that the document has a credit too.
        await miss(admin, "address/validate", OCTOBER, 300)
        await close(billing, Period(2026, 10), ManualClock(NOVEMBER_22))
        await _contested(admin, billing, b)
        for owner in (a, b):
            await _rows_of_background_work(admin, owner)
        yield Installation(gateway, database, a, b, tuple(await account_tables(admin)))
    await admin.close()
    await server.drop(database)


async def _owner(gateway: RunningGateway, name: str, more_plans: dict[str, str]) -> Owner:
    opened = await gateway.open_account(
        name, plans={"address": "internal-2026", "stock": "internal-2026", **more_plans}
    )
    key = await gateway.create_key(opened)
    return Owner(opened.account.id, opened.application.id, key, tuple(await _call_everything(gateway, key)))


async def _call_everything(gateway: RunningGateway, key: str) -> list[httpx.Response]:
    """The examples of every public passport, in their order: they build on each other."""
    replies = []
    for service in ("address", "stock"):
        passport = registry.built_in_passport(service)
        assert passport is not None
        for operation in passport.operations:
            for number, example in enumerate(operation.examples):
                idempotency = {"Idempotency_Key": f"{operation.id}-{number}"}
                replies.append(
                    await gateway.call(key, f"{service}/{operation.id}", example.request, **idempotency)
                )
    return replies


async def _contested(admin: asyncpg.Connection, billing: asyncpg.Pool, owner: Owner) -> None:
    """What became of the issued document: a dispute, its credit note, an approval."""
    await admin.execute("SET ordergate.account = '*'")
    await admin.execute(
        "INSERT INTO billing.dispute SELECT 'dsp_' || $1, $1, 'live', invoice_id, concat_ws(' ', 'usage', operation, "
        "to_char(usage_period, 'YYYY-MM'), price_version), split_part(operation, '/', 1), operation, NULL, 'CNY', "
        "0.01, 'no', now(), 'key/x' FROM billing.invoice_line WHERE account_id = $1 AND amount > 0 LIMIT 1",
        owner.id,
    )
    await admin.execute(
        "INSERT INTO billing.dispute_hold SELECT id, $1, amount, opened_at FROM billing.dispute WHERE account_id = $1",
        owner.id,
    )
    async with all_accounts(billing) as connection:
        await accept_dispute(connection, f"dsp_{owner.id}", "yes", "operator", NOVEMBER_22)
    await admin.execute(
        "INSERT INTO billing.approval SELECT id, $1, total, now(), 'key/x' FROM billing.invoice WHERE account_id = $1 "
        "AND state = 'issued'",
        owner.id,
    )


async def _rows_of_background_work(admin: asyncpg.Connection, owner: Owner) -> None:
    """What comes into being without a call of ours: announcements, counted refusals, months to be rated."""
    own = (owner.id,)
    await admin.execute("INSERT INTO catalog.cost_centre VALUES ('cc_' || $1, $1, 'centre')", *own)
    await admin.execute(
        "INSERT INTO catalog.person VALUES ('user_' || $1, $1 || '@example.com', 'member', now())", *own
    )
    await admin.execute("INSERT INTO catalog.membership VALUES ($1, 'user_' || $1)", *own)
    await admin.execute(
        "INSERT INTO catalog.outbox (id, account_id, environment, kind, payload) "
        "VALUES (gen_random_uuid(), $1, 'live', 'note', '{}')",
        *own,
    )
    await admin.execute(
        "INSERT INTO billing.refusal_count VALUES ($1, 'live', 'address/validate', '2026-10-12', 'malformed-json', 1)",
        *own,
    )
    await admin.execute(
        "WITH report AS (INSERT INTO billing.outcome_report SELECT id, account_id, environment, operation, 'wrong', "
        "'came back', occurred_at, now(), 'key/x' FROM billing.usage_event WHERE account_id = $1 AND environment = 'live' "
        "RETURNING call_id, account_id) "
        "INSERT INTO billing.outcome_ruling SELECT call_id, account_id, 'contested', 'no', now(), 'operator' FROM report",
        *own,
    )
    await admin.execute(
        "INSERT INTO catalog.allocation_rule VALUES ('alloc_' || $1, $1, '', '2026-11-01', 1, '[]', now(), 'key/x')",
        *own,
    )
    await admin.execute(
        "INSERT INTO billing.result_step (result_id, step, account_id, environment, period, call_id, operation, subscription_id, "
        "price_version, kind, value, words, taken_at, taken_by) SELECT id, 1, account_id, environment, '2026-11-01', id, operation, "
        "subscription_id, price_version, 'declined', 1, 'no', now(), 'key/x' FROM billing.usage_event "
        "WHERE account_id = $1 AND environment = 'live' LIMIT 1",
        *own,
    )
    await admin.execute("INSERT INTO billing.unrated VALUES ($1, 'live', '2026-09-01')", *own)
    for statement in (*_LIMITS_IN_MONEY, *_COLLECTED, _TERMS, *_REPORTED, _SANDBOX):
        await admin.execute(statement, *own)


# An account that a provider collects from, with a document on its way, paid, and a reminder of it.
_COLLECTED = (
    "INSERT INTO billing.payment_account VALUES ($1, true, 30, '{1}', NULL, now())",
    "INSERT INTO billing.payment_task (id, account_id, kind, document_id, due_at, created_at) "
    "VALUES (gen_random_uuid(), $1, 'invoice', 'doc_' || $1, now(), now())",
    "INSERT INTO billing.settlement_entry SELECT 'payment', 'pay_' || id, id, $1, currency, 1, NULL, now() "
    "FROM billing.invoice WHERE account_id = $1",
    "INSERT INTO billing.reminder SELECT id, 1, $1, now() FROM billing.invoice WHERE account_id = $1",
)
_TERMS = "INSERT INTO catalog.account_terms VALUES ('terms_' || $1, $1, '', '2026-12-01', 1, 2, 5, 40, 0, 0, now(), 'test')"
_SANDBOX = "INSERT INTO billing.sandbox_judgement VALUES ($1, 'address', 'errors', '2026-10-01', NULL, 'met', 0, 100, '{}', now())"
_REPORTED = (
    "INSERT INTO billing.seen SELECT $1, 'live', '/box', id, decode(repeat('00', 32), 'hex'), gen_random_uuid() "
    "FROM unnest(ARRAY['1', '2']) AS id",
    "INSERT INTO billing.correction SELECT account_id, environment, source, '2', id, event_id, 0, NULL, 'key/x', now() "
    "FROM billing.seen WHERE account_id = $1 AND id = '1'",
)

# A grant with what may become of it, a lease of it, and a budget with an alarm.
_LIMITS_IN_MONEY = (
    "INSERT INTO billing.credit_grant (id, account_id, environment, amount, currency, category, priority, valid_from, "
    "granted_at, granted_by) VALUES ('grant_' || $1, $1, 'test', 1, 'CNY', 'promotional', 1, now(), now(), 'test')",
    "WITH allowance AS (INSERT INTO billing.allowance (account_id, environment, kind, subject, starts_on, used) "
    "VALUES ($1, 'test', 'credit', 'grant_' || $1, '2026-11-01', 0) RETURNING id, account_id) "
    "INSERT INTO billing.lease (allowance_id, account_id, worker_id, journal_id, period, granted, granted_at, expires_at) "
    "SELECT id, account_id, gen_random_uuid(), gen_random_uuid(), '2026-11-01', 0, now(), now() FROM allowance",
    "INSERT INTO billing.credit_application SELECT 'grant_' || $1, id, $1, period, 0, 0, now() FROM billing.invoice "
    "WHERE account_id = $1",
    "INSERT INTO billing.credit_restoration (grant_id, invoice_id, account_id, amount, became, restored_at) "
    "SELECT grant_id, invoice_id, $1, 1, 'owed', now() FROM billing.credit_application WHERE account_id = $1",
    "INSERT INTO billing.credit_expiry VALUES ('grant_' || $1, $1, 1, now())",
    "INSERT INTO billing.budget (id, account_id, environment, scope, scope_id, amount, hard, thresholds_pct, changed_at, "
    "changed_by) VALUES ('budget_' || $1, $1, 'live', 'account', $1, 1, false, '{80}', now(), 'test')",
    "INSERT INTO billing.budget_alarm VALUES ('budget_' || $1, $1, '2026-11-01', 80, 1, now())",
)
