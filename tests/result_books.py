"""Accounts whose calls have results, for tests of what becomes of these: written as the product's own roles and steps write them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from billing.audit.compare import compare
from billing.invoice.month import Month
from billing.invoice.rate_pending import rate_pending
from billing.invoice.results import Acceptance, ResultStatement, accept_results, result_statement
from billing.rebuild import verify
from billing.result.month import stated_month
from billing.result.rows import Result
from billing.result.step import Proof, decline_result, restate_result, state_result, withdraw_result
from catalog.passport import check_passport, document_of
from catalog.usage_event import UsageEvent
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.ids import Environment, result_id_text
from catalog.vocabulary.period import Period
from tests.passports import echo_document
from tests.usage_books import add_account, add_price, call, roll_up_all, use

NOVEMBER = Period(2026, 11)
NOON = datetime(2026, 11, 5, 4, tzinfo=UTC)
NOW = datetime(2026, 11, 20, tzinfo=UTC)
CLOCK = ManualClock(NOW)
SAVED, PROVEN = "customs/check", "customs/classify"
# Unit cost before and after, and how many units: a tenth of what that saved is 536,999.83.
SAMPLE = Proof(Decimal("28.60"), Decimal("17.90"), Decimal(501_869), "October's clearance costs, as audited")


async def add_share(
    admin: asyncpg.Connection, price_id: str, operation: str, price: Mapping[str, Any], version: int = 1
) -> None:
    """An `outcome` price of an operation whose meter keeps `/reply/saving` as `saving`."""
    await add_price(admin, price_id, operation=operation, model="outcome", price=price, version=version)
    bench = echo_document()
    metered = {"unit": "call", "dimensions": {"saving": "/reply/saving"}}
    operations = [
        {**bench["operations"][0], "id": one.partition("/")[2], "meter": metered} for one in (SAVED, PROVEN)
    ]
    passport = check_passport(
        {**bench, "service": "customs", "version": "1.0.0", "operations": operations, "plans": []}
    )
    await admin.execute(
        "INSERT INTO catalog.passport (service, revision, version, document, interface_digest, published_at, published_by) "
        "VALUES ('customs', 1, '1.0.0', $1, '', now(), 'test') ON CONFLICT DO NOTHING",
        msgspec.json.encode(document_of(passport)).decode(),
    )


def answered(
    saving: str = "", price: str = "saved", moment: datetime = NOON, *, payer: str = "acct_a", **fields: Any
) -> UsageEvent:
    """A call under a share of results, which is itself never billable; `saving` is what its reply stated."""
    operation = SAVED if price.startswith("saved") else PROVEN
    told = {"operation": operation, "price_version": price, "dimensions": (("saving", saving),)}
    return call(payer, moment, **{**told, "billable": False, "units": "0", **fields})


class ResultBooks:
    """What payer and provider do about the results of acct_a's November, each in a transaction of its own."""

    def __init__(self, gateway: asyncpg.Pool, billing: asyncpg.Pool, admin: asyncpg.Connection) -> None:
        self.gateway, self.billing, self.admin = gateway, billing, admin
        self.month = Month("acct_a", "live", NOVEMBER)

    async def called(self, *events: UsageEvent) -> None:
        await use(self.billing, events)

    async def state(
        self, proof: Proof = SAMPLE, operation: str = PROVEN, environment: Environment = "live"
    ) -> Result:
        async with self.gateway.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('ordergate.account', '*', true)")
            month = await stated_month(connection, "acct_a", environment, NOVEMBER)
            return await state_result(connection, month, operation, proof, "provider", NOW)

    async def restate(self, result_id: UUID, proof: Proof) -> Result:
        async with self.gateway.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('ordergate.account', '*', true)")
            return await restate_result(connection, result_id, proof, "provider", NOW)

    async def withdraw(self, result_id: UUID) -> Result:
        async with self.gateway.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('ordergate.account', '*', true)")
            return await withdraw_result(connection, result_id, "counted twice", "provider", NOW)

    async def decline(self, result_id: UUID) -> Result:
        async with self.gateway.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('ordergate.account', 'acct_a', true)")
            return await decline_result(connection, result_id, "live", "not our saving", "payer", NOW)

    async def accept(self, total: str, month: Month | None = None) -> Acceptance:
        async with self.gateway.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('ordergate.account', 'acct_a', true)")
            return await accept_results(connection, month or self.month, Decimal(total), "payer", NOW)

    async def statement(self, month: Month | None = None) -> ResultStatement:
        async with self.gateway.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('ordergate.account', 'acct_a', true)")
            return await result_statement(connection, month or self.month, 1000)

    async def accept_all(self) -> Acceptance:
        """Whatever is open, at what it comes to."""
        return await self.accept((await self.statement()).total.amount)

    async def states(self) -> dict[str, str]:
        return {one.id: one.state for one in (await self.statement()).data}

    async def billed(self) -> Decimal:
        """What the month's lines sum to, once everything is rated."""
        await roll_up_all(self.billing)
        report = await rate_pending(self.billing, CLOCK)
        assert not report.unratable
        amount: Decimal = await self.admin.fetchval("SELECT coalesce(sum(amount), 0) FROM billing.rated_line")
        return amount

    async def posted(self) -> int:
        """How many postings there are."""
        await self.billed()
        count: int = await self.admin.fetchval("SELECT count(*) FROM billing.posting")
        return count


async def open_books(gateway: asyncpg.Pool, billing: asyncpg.Pool, admin: asyncpg.Connection) -> ResultBooks:
    """Those of acct_a, under both kinds of share: of what the provider states, and of what replies do, within bounds."""
    await add_account(admin, "acct_a")
    await add_share(admin, "proven", PROVEN, {"rate_pct": "10"})
    await add_share(admin, "saved", SAVED, {"rate_pct": "10", "of": "/reply/saving", "min": "1", "max": "50"})
    return ResultBooks(gateway, billing, admin)


def of_call(event: UsageEvent) -> str:
    """The id of the result that a call's reply stated."""
    return result_id_text(event.uuid)


async def everything(pool: asyncpg.Pool) -> list[str]:
    """Both audits: one sentence for each difference."""
    found = await verify(pool, [])
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
        await connection.execute("SELECT set_config('ordergate.account', '*', true)")
        for environment in ("test", "live"):
            found += (await compare(connection, environment)).differences
    return found
