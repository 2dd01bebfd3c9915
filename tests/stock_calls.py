"""Stock operations as the pipeline runs them: checked input, one transaction a call, rolled back by a refusal."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg

from atomic_services.contract import CallContext
from atomic_services.stock import SERVICE
from catalog.vocabulary.clock import ManualClock, from_ns
from catalog.vocabulary.ids import Environment, new_event_id
from catalog.vocabulary.problem import Problem
from catalog.vocabulary.strict_json import convert

START = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)

# Each row is a level that its movements or its held lines do not explain; there must never be one.
_UNEXPLAINED = """
    WITH moved AS (
        SELECT account_id, environment, sku, warehouse, sum(on_hand_change) AS on_hand,
               sum(reserved_change) AS reserved, sum(quarantined_change) AS quarantined
        FROM stock.movement GROUP BY account_id, environment, sku, warehouse
    ), held AS (
        SELECT owner_id AS account_id, environment, sku, warehouse, sum(quantity) AS quantity
        FROM stock.reservation_line WHERE state = 'held' GROUP BY owner_id, environment, sku, warehouse
    )
    SELECT account_id, environment, sku, warehouse
    FROM stock.level AS level
    LEFT JOIN moved USING (account_id, environment, sku, warehouse)
    LEFT JOIN held USING (account_id, environment, sku, warehouse)
    WHERE (level.on_hand, level.reserved, level.quarantined)
          IS DISTINCT FROM (coalesce(moved.on_hand, 0), coalesce(moved.reserved, 0), coalesce(moved.quarantined, 0))
       OR level.reserved <> coalesce(held.quantity, 0)
       OR level.on_hand <> level.available + level.reserved + level.quarantined
"""

_OVERSOLD = """
    SELECT account_id, environment, channel, quota, sold, held
    FROM stock.channel LEFT JOIN LATERAL (
        SELECT coalesce(sum(quantity) FILTER (WHERE state = 'held'), 0) AS held, coalesce(sum(confirmed), 0) AS confirmed
        FROM stock.reservation_line AS line
        WHERE line.owner_id = channel.account_id AND line.environment = channel.environment
          AND line.channel = channel.channel
    ) AS used ON true
    WHERE sold + held > quota OR sold <> confirmed
"""


class StockCalls:
    """Calls of one account in one environment at the time of a clock that the test moves."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        clock: ManualClock,
        account: str = "acct_a",
        environment: Environment = "live",
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._account = account
        self._environment = environment

    async def __call__(self, operation: str, **fields: Any) -> Any:
        """The reply of an operation, committed; its problem, rolled back."""
        chosen = SERVICE.operations[operation]
        request = convert(fields, chosen.request)
        async with self._transaction(self._account) as transaction:
            reply = await chosen.run(request, self._context(transaction))
        assert type(reply) is chosen.reply
        return reply

    async def together(self, operation: str, *calls: dict[str, Any]) -> list[Any]:
        """The replies and problems of several calls in one transaction, committed."""
        chosen = SERVICE.operations[operation]
        assert chosen.run_together is not None
        async with self._transaction(self._account) as transaction:
            contexts = [self._context(transaction) for _ in calls]
            answers = await chosen.run_together(
                [convert(fields, chosen.request) for fields in calls], contexts
            )
        assert all(type(answer) is chosen.reply or isinstance(answer, Problem) for answer in answers)
        return list(answers)

    async def sweep(self) -> None:
        """The work that happens without a call, for all accounts."""
        assert SERVICE.sweep is not None
        async with self._transaction("*") as transaction:
            await SERVICE.sweep(transaction, from_ns(self._clock.now_ns()))

    async def available(self, sku: str) -> int:
        """Units of a SKU that can be reserved, over all warehouses."""
        (total,) = (await self("availability", skus=[sku])).skus
        assert isinstance(total.available, int)
        return total.available

    async def stock(self, sku: str, warehouse: str, quantity: int) -> None:
        """Put units into a warehouse."""
        await self("adjust", sku=sku, warehouse=warehouse, quantity=quantity, reason="receipt")

    def _context(self, transaction: Any) -> CallContext:
        now_ns = self._clock.now_ns()
        return CallContext(
            call_id=new_event_id(now_ns),
            environment=self._environment,
            account_id=self._account,
            application_id="app_a",
            occurred_at=from_ns(now_ns),
            transaction=transaction,
        )

    @asynccontextmanager
    async def _transaction(self, scope: str) -> AsyncIterator[Any]:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('ordergate.account', $1, true)", scope)
            yield connection


async def create_account(admin: asyncpg.Connection, account: str) -> None:
    """An internal account of that id."""
    await admin.execute(
        "INSERT INTO catalog.account (id, name, title, kind, currency, timezone, created_at) "
        "VALUES ($1, $1, '{}', 'internal', 'CNY', 'Asia/Shanghai', $2)",
        account,
        START,
    )


async def oversold(admin: asyncpg.Connection) -> list[tuple[Any, ...]]:
    """Channels under which more is held or sold than their quota; there must never be one while quotas only grow."""
    return [tuple(row) for row in await admin.fetch(_OVERSOLD)]


async def unexplained(admin: asyncpg.Connection) -> list[tuple[Any, ...]]:
    """Levels that differ from the sum of their movements or of what is held of them."""
    return [tuple(row) for row in await admin.fetch(_UNEXPLAINED)]
