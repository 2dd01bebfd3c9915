"""Passports and price versions -> one frozen, cross-checked Catalogue: what the call path looks things up in."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from email.utils import format_datetime
from itertools import takewhile

import asyncpg
import msgspec

from catalog.limit import Quota, Rate
from catalog.meter import Dimensions, counted_alike
from catalog.passport import OperationEntry, Passport, Visibility
from catalog.plan import Price, depends_on_period, list_amount, parse_price
from catalog.plan.price import Matrix, Modifiers, PerUnit
from catalog.usage_event import BillableOn
from catalog.vocabulary.clock import to_ns
from catalog.vocabulary.money import plain
from catalog.vocabulary.period import day_starts_ns

_ONE = Decimal(1)


class PriceVersion(msgspec.Struct, frozen=True):
    """One price of one operation in one plan and currency; immutable once published.

    It begins when `effective_on` begins on the payer's calendar (at once without one), but never before `effective_from`.
    `version` counts the publications of the price. What was published before this one and has not begun anywhere by
    `supersedes_after` never begins; None where a publication left the earlier ones standing, as all did once. `meter` is the
    quantity that one unit of it is, `Meter.quantity`; None of a version from before this was kept whose operation is gone.
    """

    id: str
    service: str
    plan_id: str
    operation: str
    currency: str
    version: int
    effective_from: datetime
    billable_on: BillableOn
    model: str
    price: Price
    effective_on: date | None = None
    supersedes_after: datetime | None = None
    meter: str | None = None

    def begins_ns(self, timezone: str) -> int:
        """The moment from which it applies to payers of a zone, in nanoseconds since the epoch."""
        return _begins_ns(to_ns(self.effective_from), self.effective_on, timezone)


class AppliedPrice(msgspec.Struct, frozen=True, gc=False):
    """A price version as the call path needs it; `one_call` is the `Ordergate-Charge` of a single unit,
    `one_amount` its amount. A matrix has a price for each combination of its dimensions in `cells`, one for all others
    in `otherwise`, and is itself as dear as the dearest."""

    id: str
    effective_from_ns: int
    billable_on: BillableOn
    currency: str
    one_call: str
    one_amount: Decimal
    price: Price
    effective_on: date | None = None
    cells: Mapping[tuple[str, ...], "AppliedPrice"] = {}
    otherwise: "AppliedPrice | None" = None
    meter: str | None = None

    def of(self, dimensions: Dimensions) -> "AppliedPrice | None":
        """The price of a call with these dimensions: of a matrix, that of their combination, None where it has none."""
        if not isinstance(self.price, Matrix):
            return self
        values = dict(dimensions)
        combination = tuple(values.get(name, "") for name in self.price.dimensions)
        return self.cells.get(combination, self.otherwise)

    def begins_ns(self, timezone: str) -> int:
        """The moment from which it applies to payers of a zone, in nanoseconds since the epoch."""
        if self.effective_on is None:
            return self.effective_from_ns
        return _begins_ns(self.effective_from_ns, self.effective_on, timezone)

    def amount(self, units: Decimal) -> Decimal:
        """The list amount of a call: what is reserved and taken of prepaid credit and of hard budgets."""
        return self.one_amount if units == _ONE else list_amount(self.price, units)

    def charge(self, units: Decimal) -> str:
        """`<decimal> <currency>` at list price, with `; estimate` where the real price depends on the period."""
        return self.one_call if units == _ONE else _charge(self.price, units, self.currency)


def _begins_ns(effective_from_ns: int, effective_on: date | None, timezone: str) -> int:
    return (
        effective_from_ns
        if effective_on is None
        else max(effective_from_ns, day_starts_ns(effective_on, timezone))
    )


def _charge(price: Price, units: Decimal, currency: str) -> str:
    amount = f"{plain(list_amount(price, units))} {currency}"
    return amount + "; estimate" if depends_on_period(price) else amount


class PublishedOperation(msgspec.Struct, frozen=True):
    """One callable operation with everything the call path needs to know of its passport.

    `prices` holds the versions by plan and currency, the newest publication first.
    """

    id: str
    path: str
    service: str
    visibility: Visibility
    passport_version: str
    entry: OperationEntry
    rate: Rate | None
    account_rate: Rate | None
    quotas: tuple[Quota, ...]
    headers: tuple[tuple[str, str], ...]
    prices: Mapping[tuple[str, str], tuple[AppliedPrice, ...]]

    def price_at(
        self, plan_id: str, currency: str, timezone: str, occurred_at_ns: int, kept_ns: int | None = None
    ) -> AppliedPrice | None:
        """The version in force at a moment for payers of a zone; None where the plan has no price in that currency yet.

        Who keeps the prices of an earlier moment pays the one of then; if calls have come to be counted otherwise since,
        the one that was in force when they did.
        """
        kept_ns = occurred_at_ns if kept_ns is None else kept_ns
        later: AppliedPrice | None = None
        for price in self.prices.get((plan_id, currency), ()):
            begins_ns = price.begins_ns(timezone)
            # One that begins no earlier than a newer one never is in force.
            if begins_ns > occurred_at_ns or (later and begins_ns >= later.begins_ns(timezone)):
                continue
            if later is not None and not counted_alike(price.meter, later.meter):
                return later
            if begins_ns <= kept_ns:
                return price
            later = price
        return None

    def next_price(self, plan_id: str, currency: str, timezone: str, moment_ns: int) -> AppliedPrice | None:
        """The version that is scheduled to begin next for payers of a zone; None where none is."""
        coming = takewhile(
            lambda price: price.begins_ns(timezone) > moment_ns, self.prices.get((plan_id, currency), ())
        )
        # Of two that begin together the newer one counts, and that one comes first.
        return min(coming, key=lambda price: price.begins_ns(timezone), default=None)


class Catalogue(msgspec.Struct, frozen=True):
    """Everything on sale. `operations` is keyed by path (`/v1/address/validate`), `passports` by service."""

    passports: Mapping[str, Passport]
    operations: Mapping[str, PublishedOperation]
    price_versions: Mapping[str, PriceVersion]


def applied(version: PriceVersion) -> AppliedPrice:
    """The call path's form of a price version."""
    matrix = version.price
    cells: dict[tuple[str, ...], AppliedPrice] = {}
    otherwise = None
    if isinstance(matrix, Matrix):
        for cell in matrix.cells:
            combination = tuple(cell.dimensions[name] for name in matrix.dimensions)
            cells[combination] = _combination(version, matrix, cell.unit_price)
        if matrix.default is not None:
            otherwise = _combination(version, matrix, matrix.default)
    return AppliedPrice(
        version.id,
        to_ns(version.effective_from),
        version.billable_on,
        version.currency,
        _charge(version.price, Decimal(1), version.currency),
        list_amount(version.price, Decimal(1)),
        version.price,
        version.effective_on,
        cells,
        otherwise,
        version.meter,
    )


def _combination(version: PriceVersion, matrix: Matrix, unit_price: str) -> AppliedPrice:
    modifiers = {name: getattr(matrix, name) for name in Modifiers.__struct_fields__}
    return applied(msgspec.structs.replace(version, price=PerUnit(unit_price=unit_price, **modifiers)))


PRICE_COLUMNS = ", ".join(PriceVersion.__struct_fields__)
"""The columns of `catalog.price_version` that `price_version` reads."""


def price_version(row: asyncpg.Record) -> PriceVersion:
    """A row of catalog.price_version, at least its PRICE_COLUMNS, as a value."""
    fields = {name: row[name] for name in PriceVersion.__struct_fields__}
    return PriceVersion(**{**fields, "price": parse_price(row["model"], msgspec.json.decode(row["price"]))})


def standing(versions: Iterable[PriceVersion]) -> list[PriceVersion]:
    """The versions of one price that have begun or still will, the newest first: what a later publication superseded
    before its day is left out."""
    left: list[PriceVersion] = []
    limit = datetime.max.replace(tzinfo=UTC)
    for version in sorted(versions, key=lambda one: one.version, reverse=True):
        if version.effective_from <= limit:
            left.append(version)
        limit = min(limit, version.supersedes_after or limit)
    return left


def timeline(versions: Iterable[PriceVersion], timezone: str) -> list[PriceVersion]:
    """The versions of one price that come into force for payers of a zone, in the order in which they do.

    At a moment the newest of those that have begun is in force, as `price_at` chooses it: one that begins no earlier
    than a newer one never is.
    """
    line: list[PriceVersion] = []
    for version in reversed(standing(versions)):
        while line and line[-1].begins_ns(timezone) >= version.begins_ns(timezone):
            line.pop()
        line.append(version)
    return line


def load(passports: Iterable[Passport], versions: Iterable[PriceVersion]) -> Catalogue:
    """Freeze the catalogue; two services never share a path, and each price belongs to a published operation."""
    by_service = {passport.service: passport for passport in passports}
    by_id = {version.id: version for version in versions}
    published: dict[str, dict[tuple[str, str], list[PriceVersion]]] = {}
    for version in by_id.values():
        of_operation = published.setdefault(version.operation, {})
        of_operation.setdefault((version.plan_id, version.currency), []).append(version)
    prices = {
        operation: {key: tuple(map(applied, standing(versions))) for key, versions in of_operation.items()}
        for operation, of_operation in published.items()
    }
    operations: dict[str, PublishedOperation] = {}
    for passport in by_service.values():
        if not passport.callable:
            continue
        for entry in passport.operations:
            operation = _publish(passport, entry, prices.get(f"{passport.service}/{entry.id}", {}))
            assert operation.path not in operations, "two operations claim one path"
            operations[operation.path] = operation
    return Catalogue(by_service, operations, by_id)


def _publish(
    passport: Passport, entry: OperationEntry, prices: Mapping[tuple[str, str], tuple[AppliedPrice, ...]]
) -> PublishedOperation:
    operation_id = f"{passport.service}/{entry.id}"
    headers: list[tuple[str, str]] = []
    if (dates := passport.deprecation) is not None:
        headers.append(("deprecation", f"@{int(_midnight(dates.deprecation).timestamp())}"))
        headers.append(("sunset", format_datetime(_midnight(dates.sunset), usegmt=True)))
    return PublishedOperation(
        id=operation_id,
        path=f"/v{passport.major}/{operation_id}",
        service=passport.service,
        visibility=passport.visibility,
        passport_version=passport.version,
        entry=entry,
        rate=passport.rate("application"),
        account_rate=passport.rate("account"),
        quotas=passport.hard_quotas,
        headers=tuple(headers),
        prices=prices,
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
