"""A document's lines, gathered from what was rated onto it."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import groupby

import msgspec

from billing.invoice.month import period_of
from billing.invoice.used import Share
from billing.rate import TierTrace
from billing.transaction import Connection
from catalog.vocabulary.money import EXACT, plain
from catalog.vocabulary.period import Period


class RatedStep(msgspec.Struct, frozen=True):
    """A rated line with what its line had come to before; cumulative figures are of the usage's month."""

    subscription_id: str
    operation: str
    price_version: str
    usage_period: Period
    calls: int
    units: Decimal
    amount: Decimal
    precise_before: Decimal
    precise_after: Decimal
    trace: tuple[TierTrace, ...]
    split_before: tuple[Share, ...]
    split_after: tuple[Share, ...]


class InvoiceLine(msgspec.Struct, frozen=True):
    """What one operation cost at one price version. `corrects`: of an earlier month whose document was issued.

    `amount` is rounded once per subscription and month; `precise` is its value before rounding and what the
    amounts of `trace` sum to; the calls and units of `split` sum to the line's.
    """

    operation: str
    price_version: str
    usage_period: Period
    corrects: bool
    calls: int
    units: Decimal
    amount: Decimal
    precise: Decimal
    trace: tuple[TierTrace, ...]
    split: tuple[Share, ...]


decode_trace = msgspec.json.Decoder(tuple[TierTrace, ...]).decode
decode_split = msgspec.json.Decoder(tuple[Share, ...]).decode


async def rated_steps(connection: Connection, invoice_id: str) -> list[RatedStep]:
    """Everything rated onto a document, each line's steps in their order."""
    rows = await connection.fetch(
        """
        SELECT line.subscription_id, line.operation, line.price_version, line.period,
               line.calls_after - line.calls_before AS calls, line.units_after - line.units_before AS units,
               line.amount, coalesce(earlier.precise_after, 0) AS precise_before, line.precise_after,
               line.trace, coalesce(earlier.split, '[]') AS split_before, line.split AS split_after
        FROM billing.rated_line AS line
        LEFT JOIN billing.rated_line AS earlier
          ON earlier.step = line.step - 1
         AND (earlier.account_id, earlier.environment, earlier.subscription_id,
              earlier.operation, earlier.price_version, earlier.period)
           = (line.account_id, line.environment, line.subscription_id,
              line.operation, line.price_version, line.period)
        WHERE line.invoice_id = $1
        ORDER BY line.period, line.operation, line.price_version, line.subscription_id, line.step
        """,
        invoice_id,
    )
    return [
        RatedStep(
            subscription_id=row["subscription_id"],
            operation=row["operation"],
            price_version=row["price_version"],
            usage_period=period_of(row["period"]),
            calls=row["calls"],
            units=row["units"],
            amount=row["amount"],
            precise_before=row["precise_before"],
            precise_after=row["precise_after"],
            trace=decode_trace(row["trace"]),
            split_before=decode_split(row["split_before"]),
            split_after=decode_split(row["split_after"]),
        )
        for row in rows
    ]


def invoice_lines(steps: Iterable[RatedStep], period: Period) -> tuple[InvoiceLine, ...]:
    """The lines of the document of `period`: its own month by operation and price version, then corrections.

    `steps` come as `rated_steps` orders them.
    """
    groups = [
        _line(list(group), period)
        for _, group in groupby(steps, key=lambda s: (s.usage_period, s.operation, s.price_version))
    ]
    return tuple(sorted(groups, key=lambda line: line.corrects))


def _line(steps: Sequence[RatedStep], period: Period) -> InvoiceLine:
    first = steps[0]
    precise = Decimal(0)
    trace: list[TierTrace] = []
    shares: dict[tuple[str, str], tuple[int, Decimal]] = {}
    for _, group in groupby(steps, key=lambda step: step.subscription_id):
        own = list(group)
        opening, closing = own[0], own[-1]
        precise = EXACT.add(precise, EXACT.subtract(closing.precise_after, opening.precise_before))
        trace.extend(closing.trace)
        if opening.precise_before:
            rest = plain(opening.precise_before.copy_negate())
            trace.append(TierTrace("billed_before", None, "0", "0", "0", rest))
        _count(shares, closing.split_after, 1)
        _count(shares, opening.split_before, -1)
    return InvoiceLine(
        first.operation,
        first.price_version,
        first.usage_period,
        first.usage_period != period,
        sum(step.calls for step in steps),
        sum((step.units for step in steps), Decimal(0)),
        sum((step.amount for step in steps), Decimal(0)),
        precise,
        tuple(trace),
        tuple(Share(*whose, *what) for whose, what in sorted(shares.items()) if any(what)),
    )


def _count(shares: dict[tuple[str, str], tuple[int, Decimal]], split: Iterable[Share], sign: int) -> None:
    for share in split:
        whose = (share.application_id, share.cost_centre_id)
        calls, units = shares.get(whose, (0, Decimal(0)))
        shares[whose] = (calls + sign * share.calls, units + sign * share.units)


async def freeze_lines(
    connection: Connection, invoice_id: str, currency: str, lines: Iterable[InvoiceLine]
) -> None:
    """Write a draft's lines down as they will stay."""
    frozen = list(lines)
    await connection.execute(
        """
        INSERT INTO billing.invoice_line
            (invoice_id, account_id, currency, operation, price_version, usage_period, calls, units, amount, precise,
             trace, split, corrects, position)
        SELECT $1, (SELECT account_id FROM billing.invoice WHERE id = $1), $2, line.*
        FROM unnest($3::text[], $4::text[], $5::date[], $6::bigint[], $7::numeric[], $8::numeric[], $9::numeric[],
                    $10::jsonb[], $11::jsonb[], $12::boolean[]) WITH ORDINALITY AS line
        """,
        invoice_id,
        currency,
        [line.operation for line in frozen],
        [line.price_version for line in frozen],
        [line.usage_period.first_day for line in frozen],
        [line.calls for line in frozen],
        [line.units for line in frozen],
        [line.amount for line in frozen],
        [line.precise for line in frozen],
        [msgspec.json.encode(line.trace).decode() for line in frozen],
        [msgspec.json.encode(line.split).decode() for line in frozen],
        [line.corrects for line in frozen],
    )


async def frozen_lines(connection: Connection, invoice_id: str) -> tuple[InvoiceLine, ...]:
    """The lines of an issued document, in their order."""
    rows = await connection.fetch(
        "SELECT operation, price_version, usage_period, corrects, calls, units, amount, precise, trace, split "
        "FROM billing.invoice_line WHERE invoice_id = $1 ORDER BY position",
        invoice_id,
    )
    return tuple(
        InvoiceLine(
            operation=row["operation"],
            price_version=row["price_version"],
            usage_period=period_of(row["usage_period"]),
            corrects=row["corrects"],
            calls=row["calls"],
            units=row["units"],
            amount=row["amount"],
            precise=row["precise"],
            trace=decode_trace(row["trace"]),
            split=decode_split(row["split"]),
        )
        for row in rows
    )
