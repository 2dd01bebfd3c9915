"""Usage becomes rated lines: each the difference between what is due now and what was rated before."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from billing.budget.watch import watch_budgets
from billing.invoice.draft import Draft, draft_for
from billing.invoice.lines import decode_split, decode_trace
from billing.invoice.month import Month, Payer
from billing.invoice.price import rate_lines
from billing.invoice.used import NOTHING, LineKey, Share, Used, used_lines
from billing.ledger.accounts import ACCRUED, HOUSE, earnings
from billing.ledger.post import Entry, Transaction, post_all
from billing.rate import Rating, TierTrace
from billing.transaction import Connection

_ADD = """
    INSERT INTO billing.rated_line
        (account_id, environment, period, currency, invoice_id, rated_at, subscription_id, operation, price_version,
         step, calls_before, calls_after, units_before, units_after, amount, amount_after, precise_after, trace, split,
         corrects)
    SELECT $1, $2, $3, $4, $5, $6, line.*
    FROM unnest($7::text[], $8::text[], $9::text[], $10::integer[], $11::bigint[], $12::bigint[], $13::numeric[],
                $14::numeric[], $15::numeric[], $16::numeric[], $17::numeric[], $18::jsonb[], $19::jsonb[],
                $20::bigint[]) AS line
    RETURNING id
"""


class RatedBefore(msgspec.Struct, frozen=True):
    """The last step of a line: cumulative over its month."""

    id: int
    step: int
    calls: int
    units: Decimal
    amount: Decimal
    precise: Decimal
    trace: tuple[TierTrace, ...]
    split: tuple[Share, ...]


_NEVER = RatedBefore(0, 0, 0, Decimal(0), Decimal(0), Decimal(0), (), ())


class Step(msgspec.Struct, frozen=True):
    """What a line was, what was used since, and what it comes to now."""

    key: LineKey
    before: RatedBefore
    used: Used
    rating: Rating

    @property
    def moved(self) -> bool:
        """Whether anything differs from the step before, be it only how the same amount comes about."""
        before, used, rating = self.before, self.used, self.rating
        return (before.calls, before.units, before.amount, before.precise, before.trace, before.split) != (
            used.calls,
            used.units,
            rating.amount,
            rating.precise,
            rating.trace,
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
        await _add(connection, payer, month, draft, steps, now)
    await watch_budgets(connection, payer.id, month.environment, month.period, payer.currency, now)
    return len(steps)


async def _steps(connection: Connection, payer: Payer, month: Month) -> list[Step]:
    used = await used_lines(connection, month)
    before = await _rated_before(connection, month)
    every = {key: used.get(key, NOTHING) for key in sorted(used.keys() | before.keys())}
    ratings = await rate_lines(connection, payer, month, every)
    return [
        Step(key, before.get(key, _NEVER), every.get(key, NOTHING), rating) for key, rating in ratings.items()
    ]


async def _rated_before(connection: Connection, month: Month) -> Mapping[LineKey, RatedBefore]:
    rows = await connection.fetch(
        """
        SELECT DISTINCT ON (subscription_id, operation, price_version)
               subscription_id, operation, price_version,
               id, step, calls_after, units_after, amount_after, precise_after, trace, split
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
            trace=decode_trace(row["trace"]),
            split=decode_split(row["split"]),
        )
        for row in rows
    }


async def _add(
    connection: Connection, payer: Payer, month: Month, draft: Draft, steps: Sequence[Step], now: datetime
) -> None:
    # Rounded then subtracted, so that the lines of a month always sum to the one rounding of its total.
    amounts = [step.rating.amount - step.before.amount for step in steps]
    late = draft.period != month.period
    rows = await connection.fetch(
        _ADD,
        month.account_id,
        month.environment,
        month.period.first_day,
        payer.currency,
        draft.id,
        now,
        [step.key.subscription_id for step in steps],
        [step.key.operation for step in steps],
        [step.key.price_version for step in steps],
        [step.before.step + 1 for step in steps],
        [step.before.calls for step in steps],
        [step.used.calls for step in steps],
        [step.before.units for step in steps],
        [step.used.units for step in steps],
        amounts,
        [step.rating.amount for step in steps],
        [step.rating.precise for step in steps],
        [_json(step.rating.trace) for step in steps],
        [_json(step.used.shares) for step in steps],
        [step.before.id if late and step.before.step else None for step in steps],
    )
    posted = [
        Transaction(
            "rating",
            f"rated_line:{row['id']}",
            (
                Entry(payer.id, ACCRUED, payer.currency, amount),
                Entry(HOUSE, earnings(step.key.service), payer.currency, -amount),
            ),
        )
        for row, step, amount in zip(rows, steps, amounts, strict=True)
        if amount
    ]
    if posted:
        await post_all(connection, month.environment, now, posted)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
