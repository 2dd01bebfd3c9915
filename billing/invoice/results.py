"""The statement of a month's results: what each operation's come to and cost, and its acceptance at that amount."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from functools import reduce
from typing import Literal
from uuid import UUID

import msgspec

from billing.invoice.month import Month, Payer, payer_of, period_of
from billing.invoice.result_costs import Costs, costs_of, open_total
from billing.result.accept import accept_open
from billing.result.month import OF_OUTCOME, StatedMonth, hold_results, shares_of
from billing.result.rows import Result, ResultState, ResultSum, listed_results, result_sums
from billing.transaction import Connection
from catalog.accounts.test_clock import books_time
from catalog.outbox import announce
from catalog.registry import audit
from catalog.vocabulary.clock import rfc3339
from catalog.vocabulary.ids import Environment, call_id_text, result_id_text
from catalog.vocabulary.money import EXACT, Money, money, plain, round_money
from catalog.vocabulary.problem import Problem

Light = Literal["good", "warn", "bad"]

_NOTHING = Decimal(0)
_MONTHS_MAX = 24
_MONTHS = f"""
    SELECT DISTINCT period FROM billing.usage_hour
    WHERE account_id = $1 AND environment = $2 AND {OF_OUTCOME}
    ORDER BY period DESC LIMIT {_MONTHS_MAX}
"""  # noqa: S608 - a constant


class Stated(msgspec.Struct, frozen=True):
    """Results in one state: how many, what they come to, and what they add to the month's bill."""

    count: int
    result: str
    cost: Money


class OperationResults(msgspec.Struct, frozen=True):
    """An operation's results of a month. `light`: `bad` where one was declined, `warn` where one is open, else `good`."""

    operation: str
    light: Light
    open: Stated
    accepted: Stated
    declined: Stated


class ResultView(msgspec.Struct, frozen=True):
    """One result. `baseline`, `measured`, `volume` and `evidence` are the provider's and null where a reply stated it; `reason`
    says why it was declined or withdrawn, `share` what it costs before discounts and the month's bounds."""

    id: str
    call_id: str
    operation: str
    state: ResultState
    result: str
    share: Money
    since: str
    baseline: str | None
    measured: str | None
    volume: str | None
    evidence: str | None
    reason: str


class ResultStatement(msgspec.Struct, frozen=True):
    """A month's results in an environment. `total` is what its open ones add to the bill once they are accepted; `data` are
    the single ones by id, and `next` is the `after` of the following page, null on the last."""

    account_id: str
    environment: Environment
    period: str
    open: int
    total: Money
    operations: tuple[OperationResults, ...]
    data: tuple[ResultView, ...]
    next: str | None


class Acceptance(msgspec.Struct, frozen=True):
    """The payer's agreement to a month's open results: how many, at what they add to its bill."""

    account_id: str
    environment: Environment
    period: str
    results: int
    total: Money
    accepted_at: str


async def result_statement(
    connection: Connection, month: Month, limit: int, after: UUID | None = None
) -> ResultStatement:
    """The results of a month, as far as its calls are rolled up; `Problem` not-found for an account out of scope."""
    payer = await payer_of(connection, month.account_id)
    stated = _stated_month(month, payer)
    terms = await shares_of(connection, stated)
    rows = await listed_results(connection, stated, terms, limit + 1, after)
    return msgspec.structs.replace(
        await _summed_up(connection, month, payer),
        data=tuple(result_view(row, payer.currency) for row in rows[:limit]),
        next=result_id_text(rows[limit - 1].result_id) if len(rows) > limit else None,
    )


async def waiting_results(
    connection: Connection, account_id: str, environment: Environment
) -> tuple[ResultStatement, ...]:
    """The statements, without the single results, of the months in which a result is open, latest first."""
    payer = await payer_of(connection, account_id)
    rows = await connection.fetch(_MONTHS, account_id, environment)
    statements = [
        await _summed_up(connection, Month(account_id, environment, period_of(row["period"])), payer)
        for row in rows
    ]
    return tuple(one for one in statements if one.open)


async def _summed_up(connection: Connection, month: Month, payer: Payer) -> ResultStatement:
    stated = _stated_month(month, payer)
    sums = await result_sums(connection, stated, await shares_of(connection, stated))
    costs = await costs_of(connection, payer, month, sums)
    operations = _operations(sums, costs, payer.currency)
    return ResultStatement(
        month.account_id,
        month.environment,
        str(month.period),
        sum(one.open.count for one in operations),
        money(round_money(open_total(costs), payer.currency), payer.currency),
        operations,
        (),
        None,
    )


async def accept_results(
    transaction: Connection, month: Month, total: Decimal, actor: str, now: datetime
) -> Acceptance:
    """Accept the open results of a month at the `total` that its statement shows; from now on they are usage of the month.

    `Problem` conflict where they come to another total by now, which it tells, or where none is open: then nothing is
    accepted, once the caller rolls back. `now` is the time of day; the books of a sandbox have their own.
    """
    payer = await payer_of(transaction, month.account_id)
    stated = _stated_month(month, payer)
    await hold_results(transaction, month.account_id, month.environment)
    terms = await shares_of(transaction, stated)
    before = [one for one in await result_sums(transaction, stated, terms) if one.state == "accepted"]
    at = await books_time(transaction, month.account_id, month.environment, now)
    taken = await accept_open(transaction, stated, terms, actor, at, now)
    if not taken:
        raise Problem("conflict", f"No result of {month.period} waits for acceptance.")
    added = [msgspec.structs.replace(one, state="stated") for one in taken]
    due = round_money(
        open_total(await costs_of(transaction, payer, month, [*before, *added])), payer.currency
    )
    if due != total:
        raise Problem(
            "conflict",
            f"The open results of {month.period} come to {plain(due)} {payer.currency} now: read the statement again before "
            "accepting it.",
        )
    count = sum(one.results for one in taken)
    told = {
        "period": str(month.period),
        "results": count,
        "total": {"amount": plain(due), "currency": payer.currency},
    }
    await audit.append(transaction, actor, "result.accept", f"account/{month.account_id}", told, now)
    await announce(transaction, month.account_id, month.environment, "result.accepted", told, now)
    return Acceptance(
        month.account_id,
        month.environment,
        str(month.period),
        count,
        money(due, payer.currency),
        rfc3339(at),
    )


def result_view(row: Result, currency: str) -> ResultView:
    """A result as it is shown."""
    return ResultView(
        result_id_text(row.result_id),
        call_id_text(row.call_id),
        row.operation,
        row.state,
        plain(row.value),
        money(round_money(row.share, currency), currency),
        rfc3339(row.since),
        _plain(row.baseline),
        _plain(row.measured),
        _plain(row.volume),
        row.evidence,
        row.words if row.state in ("declined", "withdrawn") else "",
    )


def _plain(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)


def _stated_month(month: Month, payer: Payer) -> StatedMonth:
    return StatedMonth(month.account_id, month.environment, month.period, payer.timezone)


def _operations(sums: Iterable[ResultSum], costs: Costs, currency: str) -> tuple[OperationResults, ...]:
    by_operation: dict[str, list[ResultSum]] = defaultdict(list)
    for one in sums:
        by_operation[one.operation].append(one)
    return tuple(_operation(name, by_operation[name], costs, currency) for name in sorted(by_operation))


def _operation(name: str, sums: Iterable[ResultSum], costs: Costs, currency: str) -> OperationResults:
    every = list(sums)
    lines = [line for key, line in costs.items() if key.operation == name]

    def stated(state: ResultState) -> Stated:
        own = [one for one in every if one.state == state]
        cost = sum((line.get(state, _NOTHING) for line in lines), _NOTHING)
        value = reduce(EXACT.add, (one.value for one in own), _NOTHING)
        return Stated(
            sum(one.results for one in own), plain(value), money(round_money(cost, currency), currency)
        )

    open_, accepted, declined = stated("stated"), stated("accepted"), stated("declined")
    light: Light = "bad" if declined.count else "warn" if open_.count else "good"
    return OperationResults(name, light, open_, accepted, declined)
