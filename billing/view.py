"""Door: read-only questions of the control plane, answered within the scope of the caller's transaction."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import reduce
from itertools import groupby
from uuid import UUID

import asyncpg
import msgspec

from billing.budget.budgets import Budget, budgets_of
from billing.budget.watch import spent_by_scope
from billing.invoice.credited_by import CreditNoteEntry
from billing.invoice.disputed import Dispute, DisputePage, disputes
from billing.invoice.document import Document, document, quantity
from billing.invoice.listing import DocumentEntry, DocumentPage, documents
from billing.invoice.month import Month, payer_of
from billing.invoice.note_document import credit_note_document
from billing.invoice.price import rate_lines
from billing.invoice.printed import printed
from billing.invoice.render import to_csv, to_json
from billing.invoice.results import (
    ResultStatement,
    ResultView,
    result_statement,
    result_view,
    waiting_results,
)
from billing.invoice.simulate import Simulation, simulate
from billing.invoice.so_far import Beside, Bill, bill_so_far
from billing.invoice.used import NOTHING, used_lines
from billing.lease.standing import budget_standing, quota_standing
from billing.lease.terms import Standing, Wanted
from billing.prepaid.grants import Category, Grant, grants_of
from billing.settlement.chargeback import Chargeback, chargeback
from billing.sla.outcome import PaidCall, Verdict, paid_call, verdict, verdicts
from billing.sla.report import Attained, ObjectiveLevel, Point, ServiceLevel, service_level
from billing.store.amend import amended_units
from billing.store.usage_row import dimensions_of
from billing.transaction import Connection
from catalog.load import AppliedPrice, PriceVersion, applied
from catalog.plan import depends_on_period
from catalog.plan.price import Outcome as ShareOfResults
from catalog.registry.published import price_versions
from catalog.usage_event import CallClass, Fault, Outcome
from catalog.vocabulary.clock import rfc3339
from catalog.vocabulary.ids import Environment, call_id_text
from catalog.vocabulary.money import EXACT, Money, money, plain, round_money
from catalog.vocabulary.period import Period
from catalog.vocabulary.spreadsheet import csv_table

__all__ = [
    "Attained",
    "Beside",
    "Bill",
    "Budget",
    "CallList",
    "CallView",
    "Category",
    "Chargeback",
    "CreditNoteEntry",
    "DayUsage",
    "Dispute",
    "DisputePage",
    "Document",
    "DocumentEntry",
    "DocumentPage",
    "Grant",
    "Month",
    "ObjectiveLevel",
    "OperationUsage",
    "PaidCall",
    "Point",
    "ResultStatement",
    "ResultView",
    "ServiceLevel",
    "ServiceUsage",
    "Simulation",
    "Standing",
    "UsageView",
    "Verdict",
    "Wanted",
    "budget_standing",
    "budgets_of",
    "calls",
    "chargeback",
    "credit_note_document",
    "disputes",
    "document",
    "documents",
    "grants_of",
    "paid_call",
    "printed",
    "quota_standing",
    "result_statement",
    "result_view",
    "service_level",
    "simulate",
    "spent_by_scope",
    "to_csv",
    "to_json",
    "usage",
    "usage_csv",
    "usage_days",
    "verdict",
    "verdicts",
    "waiting_results",
]


_NOTHING = Decimal(0)


class OperationUsage(msgspec.Struct, frozen=True):
    """What one operation was used and costs so far; `units` are billable ones."""

    operation: str
    calls: int
    units: str
    amount: Money


class ServiceUsage(msgspec.Struct, frozen=True):
    """A service's operations and their sum."""

    service: str
    calls: int
    units: str
    amount: Money
    operations: tuple[OperationUsage, ...]


class UsageView(msgspec.Struct, frozen=True):
    """An account's month so far, priced as the document would price it now. `amount` is that of its calls alone; `bill`
    is what the month's document comes to, with fees, discounts, minimums, taxes and corrections."""

    account_id: str
    environment: Environment
    period: str
    calls: int
    units: str
    amount: Money
    services: tuple[ServiceUsage, ...]
    bill: Bill


class CallView(msgspec.Struct, frozen=True, rename={"class_": "class"}):
    """One call, as amended since: `charge` is the list price that its reply told, of what its units are now; `estimate` says
    that the period decides the real one."""

    id: str
    occurred_at: str
    operation: str
    application_id: str
    key_id: str
    class_: CallClass
    outcome: Outcome
    fault: Fault
    status: int
    latency_us: int
    units: str
    billable: bool
    charge: Money
    estimate: bool


class CallList(msgspec.Struct, frozen=True):
    """Calls, latest first; `next` is the `after` of the following page, null on the last."""

    data: tuple[CallView, ...]
    next: str | None


class _Sum(msgspec.Struct, frozen=True):
    calls: int = 0
    units: Decimal = Decimal(0)
    amount: Decimal = Decimal(0)

    def __add__(self, other: "_Sum") -> "_Sum":
        return _Sum(self.calls + other.calls, self.units + other.units, self.amount + other.amount)


async def usage(
    connection: Connection, account_id: str, environment: Environment, period: Period
) -> UsageView:
    """The account's usage as far as it is rolled up; `Problem` not-found for an account out of scope."""
    payer = await payer_of(connection, account_id)
    month = Month(account_id, environment, period)
    used = await used_lines(connection, month)
    ratings = await rate_lines(connection, payer, month, used)
    by_operation: dict[str, _Sum] = {}
    for key, rating in ratings.items():
        line = used.get(key, NOTHING)
        line_sum = _Sum(line.calls, line.units, rating.amount)
        by_operation[key.operation] = by_operation.get(key.operation, _Sum()) + line_sum
    services = tuple(
        _service(service, list(group), payer.currency)
        for service, group in groupby(
            sorted(by_operation.items()), key=lambda item: item[0].partition("/")[0]
        )
    )
    total = sum(by_operation.values(), _Sum())
    return UsageView(
        account_id,
        environment,
        str(period),
        total.calls,
        quantity(total.units),
        _money(total.amount, payer.currency),
        services,
        await bill_so_far(connection, payer, month, total.amount),
    )


class DayUsage(msgspec.Struct, frozen=True):
    """All calls of a service on one day of the account's calendar."""

    day: date
    service: str
    calls: int


async def usage_days(connection: Connection, month: Month) -> tuple[DayUsage, ...]:
    """A month's calls as far as they are rolled up, by day and service; days without calls are left out."""
    payer = await payer_of(connection, month.account_id)
    rows = await connection.fetch(
        """
        SELECT (hour AT TIME ZONE $4)::date AS day, split_part(operation, '/', 1) AS service, sum(calls)::bigint AS calls
        FROM billing.usage_hour
        WHERE account_id = $1 AND environment = $2 AND period = $3
        GROUP BY 1, 2 ORDER BY 1, 2
        """,
        month.account_id,
        month.environment,
        month.period.first_day,
        payer.timezone,
    )
    return tuple(DayUsage(row["day"], row["service"], row["calls"]) for row in rows)


USAGE_COLUMNS = (
    "row",
    "account",
    "environment",
    "period",
    "service",
    "operation",
    "calls",
    "units",
    "amount",
    "currency",
)


def usage_csv(view: UsageView) -> str:
    """The month's calls as one table: a row for each operation, and at the end one `total` row."""
    head = {"account": view.account_id, "environment": view.environment, "period": view.period}
    rows: list[dict[str, object]] = [
        {
            "row": "operation",
            "service": service.service,
            "operation": one.operation,
            "calls": one.calls,
            "units": one.units,
            **msgspec.structs.asdict(one.amount),
        }
        for service in view.services
        for one in service.operations
    ]
    rows.append(
        {"row": "total", "calls": view.calls, "units": view.units, **msgspec.structs.asdict(view.amount)}
    )
    return csv_table(USAGE_COLUMNS, ({**head, **row} for row in rows))


def _service(service: str, operations: Sequence[tuple[str, _Sum]], currency: str) -> ServiceUsage:
    total = sum((one for _, one in operations), _Sum())
    return ServiceUsage(
        service,
        total.calls,
        quantity(total.units),
        _money(total.amount, currency),
        tuple(
            OperationUsage(name, one.calls, quantity(one.units), _money(one.amount, currency))
            for name, one in operations
        ),
    )


async def calls(
    connection: Connection, account_id: str, environment: Environment, limit: int, after: UUID | None = None
) -> CallList:
    """At most `limit` stored calls of an account, latest first, beginning behind the call `after`."""
    rows = await connection.fetch(
        "SELECT id, occurred_at, operation, application_id, key_id, class, outcome, fault, status, latency_us, "
        "units, billable, price_version, dimension_names, dimension_values, "
        "(SELECT currency FROM catalog.account WHERE account.id = account_id) AS currency "
        "FROM billing.usage_event WHERE account_id = $1 AND environment = $2 AND ($3::uuid IS NULL OR id < $3) "
        "AND amends IS NULL ORDER BY id DESC LIMIT $4",
        account_id,
        environment,
        after,
        limit + 1,
    )
    amended = await amended_units(connection, [row["id"] for row in rows])
    versions = await price_versions(connection, {row["price_version"] for row in rows})
    prices = {one.id: one for one in versions}
    entries = tuple(_call(row, prices, amended.get(row["id"], ())) for row in rows[:limit])
    return CallList(entries, entries[-1].id if len(rows) > limit else None)


def _call(row: asyncpg.Record, prices: Mapping[str, PriceVersion], amended: Sequence[Decimal]) -> CallView:
    billable = row["billable"] or bool(amended)
    units = reduce(EXACT.add, amended, row["units"])
    # Of what was amended to nothing not even the fee of an event is left.
    version = prices.get(row["price_version"]) if billable and (units or not amended) else None
    price = None if version is None else applied(version).of(dimensions_of(row))
    charge = _NOTHING if price is None else _charge(price, units, amended)
    return CallView(
        id=call_id_text(row["id"]),
        occurred_at=rfc3339(row["occurred_at"]),
        operation=row["operation"],
        application_id=row["application_id"],
        key_id=row["key_id"],
        class_=row["class"],
        outcome=row["outcome"],
        fault=row["fault"],
        status=row["status"],
        latency_us=row["latency_us"],
        units=quantity(units),
        billable=billable,
        charge=Money(plain(charge), row["currency"] if price is None else price.currency),
        estimate=price is not None and depends_on_period(price.price),
    )


def _charge(price: AppliedPrice, units: Decimal, amended: Sequence[Decimal]) -> Decimal:
    """Results that amend one call are several, each bounded by itself; all else that amends it says what it is now."""
    if isinstance(price.price, ShareOfResults):
        return reduce(EXACT.add, map(price.amount, amended), _NOTHING)
    return price.amount(units)


def _money(amount: Decimal, currency: str) -> Money:
    return money(round_money(amount, currency), currency)
