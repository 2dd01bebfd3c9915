"""Door: read-only questions of the control plane, answered within the scope of the caller's transaction."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from uuid import UUID

import asyncpg
import msgspec

from billing.invoice.document import Document, document, quantity
from billing.invoice.month import Month, payer_of, period_of
from billing.invoice.price import price_versions, rate_lines
from billing.invoice.render import to_csv, to_json
from billing.invoice.used import used_lines
from billing.transaction import Connection
from catalog.load import PriceVersion, applied
from catalog.usage_event import CallClass, Fault, Outcome
from catalog.vocabulary.clock import rfc3339
from catalog.vocabulary.ids import Environment, call_id_text
from catalog.vocabulary.money import Money, money, round_money
from catalog.vocabulary.period import Period

__all__ = [
    "CallEntry",
    "CallPage",
    "Document",
    "DocumentEntry",
    "DocumentPage",
    "Month",
    "OperationUsage",
    "ServiceUsage",
    "UsageView",
    "calls",
    "document",
    "documents",
    "to_csv",
    "to_json",
    "usage",
]


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
    """An account's month so far, priced as the document would price it now."""

    account_id: str
    environment: Environment
    period: str
    calls: int
    units: str
    amount: Money
    services: tuple[ServiceUsage, ...]


class DocumentEntry(msgspec.Struct, frozen=True):
    """A document in a list; `total` is null while it is a draft."""

    id: str
    kind: str
    state: str
    number: str | None
    period: str
    total: Money | None
    issued_at: str | None


class DocumentPage(msgspec.Struct, frozen=True):
    """Documents, latest month first; `next` is the `after` of the following page, null on the last."""

    data: tuple[DocumentEntry, ...]
    next: str | None


class CallEntry(msgspec.Struct, frozen=True, rename={"class_": "class"}):
    """One call in the log. `charge` is what its `Ordergate-Charge` said: the list price, `0` when unbillable."""

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
    charge: str


class CallPage(msgspec.Struct, frozen=True):
    """Calls, latest first; `next` is the `after` of the following page, null on the last."""

    data: tuple[CallEntry, ...]
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
    for key, line in used.items():
        line_sum = _Sum(line.calls, line.units, ratings[key].amount)
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
    )


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


async def documents(
    connection: Connection, account_id: str, environment: Environment, limit: int, after: str | None = None
) -> DocumentPage:
    """At most `limit` documents of an account, latest month first, beginning behind the month `after` (`2026-11`)."""
    before = None if after is None else Period.parse(after).first_day
    rows = await connection.fetch(
        "SELECT id, kind, state, number, period, total, currency, issued_at FROM billing.invoice "
        "WHERE account_id = $1 AND environment = $2 AND ($3::date IS NULL OR period < $3) "
        "ORDER BY period DESC LIMIT $4",
        account_id,
        environment,
        before,
        limit + 1,
    )
    entries = tuple(
        DocumentEntry(
            id=row["id"],
            kind=row["kind"],
            state=row["state"],
            number=row["number"],
            period=str(period_of(row["period"])),
            total=None if row["total"] is None else _money(row["total"], row["currency"]),
            issued_at=None if row["issued_at"] is None else rfc3339(row["issued_at"]),
        )
        for row in rows[:limit]
    )
    return DocumentPage(entries, entries[-1].period if len(rows) > limit else None)


async def calls(
    connection: Connection, account_id: str, environment: Environment, limit: int, after: UUID | None = None
) -> CallPage:
    """At most `limit` stored calls of an account, latest first, beginning behind the call `after`."""
    rows = await connection.fetch(
        "SELECT id, occurred_at, operation, application_id, key_id, class, outcome, fault, status, latency_us, "
        "units, billable, price_version FROM billing.usage_event "
        "WHERE account_id = $1 AND environment = $2 AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4",
        account_id,
        environment,
        after,
        limit + 1,
    )
    prices = await price_versions(connection, (row["price_version"] for row in rows if row["billable"]))
    entries = tuple(_call(row, prices) for row in rows[:limit])
    return CallPage(entries, entries[-1].id if len(rows) > limit else None)


def _call(row: asyncpg.Record, prices: Mapping[str, PriceVersion]) -> CallEntry:
    version = prices.get(row["price_version"]) if row["billable"] else None
    return CallEntry(
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
        units=quantity(row["units"]),
        billable=row["billable"],
        charge="0" if version is None else applied(version).charge(row["units"]),
    )


def _money(amount: Decimal, currency: str) -> Money:
    return money(round_money(amount, currency), currency)
