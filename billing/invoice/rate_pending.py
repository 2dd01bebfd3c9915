"""The flow's rating step: months whose usage moved, one transaction each."""

from datetime import datetime

import asyncpg
import msgspec

from billing.invoice.month import Month, payer_of, period_of, try_lock_books
from billing.invoice.rating import rate_month
from billing.rate import UsageError
from billing.transaction import Connection, all_accounts
from catalog.vocabulary.clock import Clock, from_ns
from catalog.vocabulary.period import Period


class Unratable(msgspec.Struct, frozen=True):
    """A month that stays marked because a price of it asks for a measure that calls do not carry."""

    month: Month
    reason: str


class RatingReport(msgspec.Struct, frozen=True):
    """How many months were taken, how many lines they grew, whether to go on at once, and what could not be rated."""

    months: int
    lines: int
    more: bool
    unratable: tuple[Unratable, ...] = ()


async def rate_pending(pool: asyncpg.Pool, clock: Clock, limit: int = 100) -> RatingReport:
    """Rate at most `limit` marked months, each in its own transaction; may be stopped and started at any statement.

    Months that another rater or a closer works on are passed over: they are theirs. A price that cannot be rated
    leaves its month marked and reported, and keeps nobody else's month waiting.
    """
    months = lines = 0
    unratable: list[Unratable] = []
    month = None
    for _ in range(limit):
        try:
            async with all_accounts(pool) as connection:
                month = await _next_marked(connection, month)
                if month is None:
                    return RatingReport(months, lines, more=False, unratable=tuple(unratable))
                if await try_lock_books(connection, month.account_id, month.environment):
                    lines += await _rate(connection, month, from_ns(clock.now_ns()))
                    months += 1
        except UsageError as error:
            assert month is not None, "only a month's rating raises it"
            unratable.append(Unratable(month, str(error)))
    return RatingReport(months, lines, more=True, unratable=tuple(unratable))


async def _rate(connection: Connection, month: Month, now: datetime) -> int:
    payer = await payer_of(connection, month.account_id)
    return await rate_month(connection, payer, month, payer.now_in(month.environment, now))


async def _next_marked(connection: Connection, after: Month | None) -> Month | None:
    """The first marked month after the given one that nobody has locked; locked now."""
    first = after or Month("", "live", Period(1, 1))
    row = await connection.fetchrow(
        "SELECT account_id, environment, period FROM billing.unrated "
        "WHERE (account_id, environment, period) > ($1, $2, $3) "
        "ORDER BY account_id, environment, period LIMIT 1 FOR UPDATE SKIP LOCKED",
        first.account_id,
        first.environment,
        first.period.first_day,
    )
    return None if row is None else Month(row["account_id"], row["environment"], period_of(row["period"]))
