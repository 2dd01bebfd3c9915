"""Usage becomes rated lines: each the difference between what is due now and what was rated before."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

import msgspec

from billing.invoice.draft import Draft, draft_for
from billing.invoice.lines import decode_split
from billing.invoice.month import Month, Payer
from billing.invoice.price import rate_lines
from billing.invoice.used import NOTHING, LineKey, Share, Used, used_lines
from billing.ledger.accounts import ACCRUED, HOUSE, earnings
from billing.ledger.post import Entry, post
from billing.rate import Rating
from billing.transaction import Connection


class RatedBefore(msgspec.Struct, frozen=True):
    """The last step of a line: cumulative over its month."""

    id: int
    step: int
    calls: int
    units: Decimal
    amount: Decimal
    precise: Decimal
    split: tuple[Share, ...]


_NEVER = RatedBefore(0, 0, 0, Decimal(0), Decimal(0), Decimal(0), ())


class Step(msgspec.Struct, frozen=True):
    """What a line was, what was used since, and what it comes to now."""

    key: LineKey
    before: RatedBefore
    used: Used
    rating: Rating

    @property
    def moved(self) -> bool:
        """Whether anything differs from the step before."""
        before, used, rating = self.before, self.used, self.rating
        return (before.calls, before.units, before.amount, before.precise, before.split) != (
            used.calls,
            used.units,
            rating.amount,
            rating.precise,
            used.shares,
        )


async def rate_month(connection: Connection, payer: Payer, month: Month, now: datetime) -> int:
    """Rate whatever moved in a month since it was last rated; the number of lines added, 0 if nothing moved.

    The caller holds the account's books (`lock_books`), so that nobody else adds a step or issues the document,
    and commits: lines, postings and the taken mark stand or fall together.
    """
    # First the mark, then the usage: what is rolled up after this statement sets a new mark.
    await connection.execute(
        "DELETE FROM billing.unrated WHERE account_id = $1 AND environment = $2 AND period = $3",
        month.account_id,
        month.environment,
        month.period.first_day,
    )
    steps = [step for step in await _steps(connection, payer, month) if step.moved]
    if steps:
        draft = await draft_for(connection, payer, month, now)
        for step in steps:
            await _add(connection, payer, month, draft, step, now)
    return len(steps)


async def _steps(connection: Connection, payer: Payer, month: Month) -> list[Step]:
    used = await used_lines(connection, month)
    before = await _rated_before(connection, month)
    every = {key: used.get(key, NOTHING) for key in sorted(used.keys() | before.keys())}
    ratings = await rate_lines(connection, payer, month, every)
    return [Step(key, before.get(key, _NEVER), every[key], ratings[key]) for key in every]


async def _rated_before(connection: Connection, month: Month) -> Mapping[LineKey, RatedBefore]:
    rows = await connection.fetch(
        """
        SELECT DISTINCT ON (subscription_id, operation, price_version)
               subscription_id, operation, price_version,
               id, step, calls_after, units_after, amount_after, precise_after, split
        FROM billing.rated_line WHERE account_id = $1 AND environment = $2 AND period = $3
        ORDER BY subscription_id, operation, price_version, step DESC
        """,
        month.account_id,
        month.environment,
        month.period.first_day,
    )
    return {
        LineKey(row["subscription_id"], row["operation"], row["price_version"]): RatedBefore(
            id=row["id"],
            step=row["step"],
            calls=row["calls_after"],
            units=row["units_after"],
            amount=row["amount_after"],
            precise=row["precise_after"],
            split=decode_split(row["split"]),
        )
        for row in rows
    }


async def _add(
    connection: Connection, payer: Payer, month: Month, draft: Draft, step: Step, now: datetime
) -> None:
    key, before, used, rating = step.key, step.before, step.used, step.rating
    # Rounded then subtracted, so that the lines of a month always sum to the one rounding of its total.
    amount = rating.amount - before.amount
    late = draft.period != month.period
    line_id = await connection.fetchval(
        """
        INSERT INTO billing.rated_line
            (account_id, environment, subscription_id, operation, price_version, period, step, currency,
             calls_before, calls_after, units_before, units_after, amount, amount_after, precise_after,
             trace, split, corrects, invoice_id, rated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
        RETURNING id
        """,
        month.account_id,
        month.environment,
        key.subscription_id,
        key.operation,
        key.price_version,
        month.period.first_day,
        before.step + 1,
        payer.currency,
        before.calls,
        used.calls,
        before.units,
        used.units,
        amount,
        rating.amount,
        rating.precise,
        _json(rating.trace),
        _json(used.shares),
        before.id if late and before.step else None,
        draft.id,
        now,
    )
    if amount:
        await post(
            connection,
            "rating",
            f"rated_line:{line_id}",
            month.environment,
            now,
            [
                Entry(payer.id, ACCRUED, payer.currency, amount),
                Entry(HOUSE, earnings(key.service), payer.currency, -amount),
            ],
        )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
