"""What a month would have cost each account, and earned a service, under draft prices; nothing is written.

Computed on the rolled-up usage of the month. `current` rates it with the price versions that the calls were made
under, just as the documents do; `draft` rates the same calls as if the draft had been in force all month, or for the part
of it that the subscription lived for. So the prices in force as a draft change nothing but that they count open results.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from itertools import groupby
from operator import attrgetter
from types import MappingProxyType

import msgspec

from billing.invoice.draft_price import DraftPrice, draft_prices
from billing.invoice.month import AccountKind, Month
from billing.invoice.parts import Life, lived
from billing.invoice.price import Prices, prices_of, rate_priced, usage_of
from billing.invoice.used import LineKey, Used
from billing.rate import Rating, Usage, UsageError, rate_part
from billing.transaction import Connection
from catalog.plan import Plan
from catalog.usage_event import CallClass, is_billable
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import EXACT, Money, money, round_money
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import FieldError, Problem

_NOTHING = Decimal(0)


class Effect(msgspec.Struct, frozen=True):
    """What `calls` cost now and under the draft, and the difference: an increase is positive."""

    calls: int
    current: Money
    draft: Money
    difference: Money


class LineEffect(msgspec.Struct, frozen=True):
    """The effect on one operation of one account.

    `priced` is False where the draft has no price for it; it then costs what it costs now.
    """

    account_id: str
    account: str
    kind: AccountKind
    plan_id: str
    operation: str
    priced: bool
    effect: Effect


class SumEffect(msgspec.Struct, frozen=True):
    """The effect on all lines `of` one account, one operation or the whole service, in one currency."""

    of: str
    effect: Effect


class Simulation(msgspec.Struct, frozen=True):
    """The effect of draft prices on a month: line by line, and in sums that agree with the lines."""

    service: str
    period: Period
    environment: Environment
    lines: tuple[LineEffect, ...]
    accounts: tuple[SumEffect, ...]
    operations: tuple[SumEffect, ...]
    totals: tuple[SumEffect, ...]


class _Called(msgspec.Struct, frozen=True):
    """Rolled-up calls of one class under one price version.

    A call that was not billed carries no units; where the draft bills it, it counts as one.
    """

    account_id: str
    account: str
    kind: AccountKind
    currency: str
    timezone: str
    subscription_id: str
    plan_id: str
    starts_at: datetime | None
    ends_at: datetime | None
    operation: str
    price_version: str
    class_: CallClass
    calls: int
    billable_calls: int
    units: Decimal

    @property
    def line(self) -> tuple[str, str, str]:
        """What a draft price covers: one operation of one subscription."""
        return (self.account_id, self.subscription_id, self.operation)

    @property
    def key(self) -> LineKey:
        """The line that the calls are rated on now."""
        return LineKey(self.subscription_id, self.operation, self.price_version)

    @property
    def life(self) -> Life | None:
        """That of the subscription; None of one that nobody knows."""
        return None if self.starts_at is None else Life(self.starts_at, self.ends_at, None)


class _Line(msgspec.Struct, frozen=True):
    """A line, rated both ways."""

    called: _Called
    priced: bool
    calls: int
    current: Decimal
    draft: Decimal


async def simulate(
    connection: Connection,
    service: str,
    plans: Iterable[Plan],
    period: Period,
    environment: Environment,
    *,
    meters: Mapping[str, str] = MappingProxyType({}),
) -> Simulation:
    """Rate a month of a service again, over every account in the transaction's scope.

    A draft plan stands in for the plan of the same id; accounts on other plans keep what they pay. `meters` says by operation
    what one unit of its draft prices is (`Meter.quantity`). `Problem` invalid-input if a draft price asks for a measure
    that calls do not carry, has none for what they were, or is of another unit than they were counted in.
    """
    drafts = draft_prices(service, plans, meters)
    rows = await _called(connection, service, period, environment)
    prices = await prices_of(connection, {row.key for row in rows})
    desk = _Desk(connection, period, environment, prices)
    lines = [await desk.line(list(group), drafts) for _, group in groupby(rows, key=attrgetter("line"))]
    return Simulation(
        service,
        period,
        environment,
        tuple(_line_effect(line) for line in lines),
        _sums(lines, lambda line: line.called.account),
        _sums(lines, lambda line: line.called.operation),
        _sums(lines, lambda _: service),
    )


class _Desk:
    """Rates one line after the other; equal quantities under one price are rated once."""

    def __init__(
        self,
        connection: Connection,
        period: Period,
        environment: Environment,
        prices: Prices,
    ) -> None:
        self._connection = connection
        self._period = period
        self._environment: Environment = environment
        self._prices = prices
        self._rated: dict[tuple[str, Usage, str, Fraction], Rating] = {}

    async def line(self, rows: Sequence[_Called], drafts: Mapping[tuple[str, str, str], DraftPrice]) -> _Line:
        """Rate the calls of one operation of one subscription both ways."""
        called = rows[0]
        current = await self._current(rows)
        price = drafts.get((called.plan_id, called.operation, called.currency))
        draft = current if price is None else await self._drafted(rows, price)
        return _Line(called, price is not None, sum(row.calls for row in rows), current, draft)

    async def _current(self, rows: Sequence[_Called]) -> Decimal:
        lines = {}
        for key, group in groupby(rows, key=attrgetter("key")):
            own = list(group)
            lines[key] = _used(own, [row for row in own if row.billable_calls])
        month = Month(rows[0].account_id, self._environment, self._period)
        ratings = await rate_priced(
            self._connection, month, rows[0].timezone, rows[0].currency, lines, self._prices
        )
        return sum((rating.amount for rating in ratings.values()), _NOTHING)

    async def _drafted(self, rows: Sequence[_Called], draft: DraftPrice) -> Decimal:
        billable = [row for row in rows if is_billable(draft.billable_on, row.class_)]
        self._require_one_unit(billable, draft)
        classes = tuple(sorted({row.class_ for row in billable}))
        row, used = rows[0], _used(rows, billable)
        month = Month(row.account_id, self._environment, self._period)
        key = LineKey(row.subscription_id, row.operation, "")
        usage = await usage_of(self._connection, month, key, used, draft.price, classes)
        share = lived(self._period, row.timezone, row.life)
        known = (draft.id, usage, row.currency, share)
        if (rating := self._rated.get(known)) is None:
            try:
                rating = self._rated[known] = rate_part(draft.price, usage, row.currency, share=share)
            except UsageError as error:
                raise _refused("/plans", "unpriced", row, str(error)) from None
        return rating.amount

    def _require_one_unit(self, billable: Iterable[_Called], draft: DraftPrice) -> None:
        """How many of the draft's units calls would have been that were counted otherwise, nobody counted."""
        for row in billable:
            version = self._prices.versions.get(row.price_version)
            if version is not None and not draft.is_of(version):
                detail = (
                    f"calls of {self._period} were counted by `{version.meter}`, and the draft's price counts by `{draft.meter}`; "
                    "try a month that was counted so, or leave the operation out"
                )
                raise _refused("/period", "recounted", row, detail)


def _refused(pointer: str, rule: str, row: _Called, why: str) -> Problem:
    detail = f"{row.operation} of plan {row.plan_id}: {why}"
    return Problem("invalid-input", f"{detail}.", errors=(FieldError(pointer, rule, detail),))


def _used(rows: Iterable[_Called], billable: Iterable[_Called]) -> Used:
    units = reduce(EXACT.add, (row.units for row in billable), _NOTHING)
    return Used(sum(row.calls for row in rows), units, ())


async def _called(
    connection: Connection, service: str, period: Period, environment: Environment
) -> list[_Called]:
    rows = await connection.fetch(
        """
        SELECT used.account_id, account.name AS account, account.kind, account.currency, account.timezone,
               used.subscription_id, coalesce(subscription.plan_id, '') AS plan_id, subscription.starts_at, subscription.ends_at,
               used.operation, used.price_version, used.class AS class_,
               sum(used.calls)::bigint AS calls, sum(used.billable_calls)::bigint AS billable_calls,
               CASE WHEN sum(used.billable_calls) > 0 AND price.model IS DISTINCT FROM 'outcome' THEN sum(used.units)
                    ELSE sum(used.calls) END AS units
        FROM billing.usage_hour AS used
        JOIN catalog.account AS account ON account.id = used.account_id
        LEFT JOIN catalog.subscription AS subscription ON subscription.id = used.subscription_id
        LEFT JOIN catalog.price_version AS price ON price.id = used.price_version
        WHERE used.environment = $1 AND used.period = $2 AND split_part(used.operation, '/', 1) = $3
        GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, price.model
        ORDER BY used.account_id, used.subscription_id, used.operation, used.price_version, used.class
        """,
        environment,
        period.first_day,
        service,
    )
    return [_Called(**row) for row in rows]


def _line_effect(line: _Line) -> LineEffect:
    called = line.called
    return LineEffect(
        called.account_id,
        called.account,
        called.kind,
        called.plan_id,
        called.operation,
        line.priced,
        _effect((line,)),
    )


def _sums(lines: Sequence[_Line], name: Callable[[_Line], str]) -> tuple[SumEffect, ...]:
    """One sum for each name and currency, the largest change first."""
    groups: dict[tuple[str, str], list[_Line]] = {}
    for line in lines:
        groups.setdefault((name(line), line.called.currency), []).append(line)
    ranked = sorted(
        groups.items(),
        key=lambda item: (-abs(sum((one.draft - one.current for one in item[1]), _NOTHING)), item[0]),
    )
    return tuple(SumEffect(of, _effect(group)) for (of, _), group in ranked)


def _effect(lines: Sequence[_Line]) -> Effect:
    currency = lines[0].called.currency
    current = sum((line.current for line in lines), _NOTHING)
    draft = sum((line.draft for line in lines), _NOTHING)
    return Effect(
        sum(line.calls for line in lines),
        money(round_money(current, currency), currency),
        money(round_money(draft, currency), currency),
        money(round_money(draft - current, currency), currency),
    )
