"""A second, slow biller: whole bills from single calls, on fractions, day by day. It shares nothing with the product's."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from tests.properties.slow_capacity import SlowUse, slow_fee
from tests.properties.slow_rating import slow_amount, slow_minor_units

Month = tuple[int, int]


class SlowPrice(msgspec.Struct, frozen=True):
    """A version of an operation's price, from a day on."""

    id: str
    operation: str
    begins_on: date
    model: str
    fields: Mapping[str, Any]


class SlowTerms(msgspec.Struct, frozen=True):
    """A contract from a day on; money in cents."""

    starts_on: date
    fee: int = 0
    discount_pct: int = 0
    minimum: int = 0
    committed: int = 0
    committed_months: int = 0


class SlowCall(msgspec.Struct, frozen=True):
    """A call, and the number of the close that was the first to know of it."""

    moment: datetime
    operation: str
    units: int
    known: int


class SlowAccount(msgspec.Struct, frozen=True):
    """Who pays: tax percentages by the year they begin with, none for internal accounts."""

    zone: str
    terms: tuple[SlowTerms, ...]
    taxes: Mapping[int, int]
    calls: tuple[SlowCall, ...]


def local_month(moment: datetime, zone: str) -> Month:
    """The month of a moment on a calendar."""
    local = moment.astimezone(ZoneInfo(zone))
    return local.year, local.month


def version_of(prices: Sequence[SlowPrice], operation: str, day: date) -> SlowPrice:
    """The version in force on a day."""
    return max(
        (one for one in prices if one.operation == operation and one.begins_on <= day),
        key=lambda one: one.begins_on,
    )


class SlowBiller:
    """One account's bills, as they would have been with the calls known to a close."""

    def __init__(self, account: SlowAccount, prices: Sequence[SlowPrice], months: Sequence[Month]) -> None:
        """`months` are closed one after the other; the place of a month is the number of its close."""
        self._account = account
        self._prices = prices
        self._months = months

    def document(self, close: int) -> int:
        """The total in cents of the document of a close: its own month, and what became known of earlier ones."""
        total = self._bill(close, close)
        for earlier in range(close):
            total += self._bill(earlier, close) - self._bill(earlier, close - 1)
        return total

    def _bill(self, number: int, close: int) -> int:
        month = self._months[number]
        net = self._net(number, close)
        terms = self._terms(month)
        if terms is not None and terms.committed_months:
            first = self._months.index((terms.starts_on.year, terms.starts_on.month))
            if (number - first + 1) % terms.committed_months == 0:
                span = range(number - terms.committed_months + 1, number)
                so_far = sum(self._net(one, close) for one in span)
                net += max(0, terms.committed - so_far - net)
        return net + self._tax(month, net)

    def _net(self, number: int, close: int) -> int:
        """Lines, fee, discount and minimum."""
        month = self._months[number]
        amount = sum(self._line(price, month, close) for price in self._prices)
        terms = self._terms(month)
        if terms is None:
            return amount
        days = _days(month)
        share = Fraction(sum(1 for day in days if day >= terms.starts_on), len(days))
        amount += _cents(share * terms.fee)
        amount -= _cents(Fraction(max(0, amount) * terms.discount_pct, 100))
        return max(amount, _cents(share * terms.minimum)) if terms.minimum else amount

    def _line(self, price: SlowPrice, month: Month, close: int) -> int:
        used: dict[str, int] = {}
        for call in self._account.calls:
            if call.operation == price.operation and call.known <= close:
                local = call.moment.astimezone(ZoneInfo(self._account.zone))
                if (local.year, local.month) == month:
                    version = version_of(self._prices, price.operation, local.date())
                    used[version.id] = used.get(version.id, 0) + call.units
        if not used:
            return 0
        days = _days(month)
        held = sum(1 for day in days if self._in_force(price.operation, day) == price.id)
        share = Fraction(held, len(days))
        if price.id not in used and not held:
            return 0
        if price.model == "flat":
            return _cents(share * Fraction(price.fields["amount"]) * 100)
        if price.model == "capacity":
            return _cents(share * self._capacity(price, month, close) * 100)
        before = sum(
            units
            for one, units in used.items()
            if next(p for p in self._prices if p.id == one).begins_on < price.begins_on
        )
        after = before + used.get(price.id, 0)
        free = {name: value for name, value in price.fields.items() if name not in ("minimum", "maximum")}
        amount = slow_amount(price.model, free, after) - slow_amount(price.model, free, before)
        if "minimum" in price.fields and held:
            amount = max(amount, share * Fraction(price.fields["minimum"]))
        elif price.id not in used:
            return 0
        if "maximum" in price.fields and held:
            amount = min(amount, share * Fraction(price.fields["maximum"]))
        return _cents(amount * 100)

    def _capacity(self, price: SlowPrice, month: Month, close: int) -> Fraction:
        """The fee of a whole month: by the part in which this price, unchanged, held."""
        zone = ZoneInfo(self._account.zone)
        versions = sorted(
            (one for one in self._prices if one.operation == price.operation),
            key=lambda one: one.begins_on,
        )
        in_month = [
            place
            for place, one in enumerate(versions)
            if any(self._in_force(price.operation, day) == one.id for day in _days(month))
        ]
        uses = []
        for call in self._account.calls:
            local = call.moment.astimezone(zone)
            if (
                call.operation == price.operation
                and call.known <= close
                and (local.year, local.month) == month
            ):
                version = version_of(self._prices, price.operation, local.date())
                uses.append(SlowUse(local, call.units, versions.index(version)))
        parts = [versions.index(price)]
        for step in (-1, 1):
            beside = parts[0] + step
            while beside in in_month and versions[beside].fields == price.fields:
                parts.append(beside)
                beside += step
        return slow_fee(price.fields, uses, parts, max(parts))

    def _in_force(self, operation: str, day: date) -> str | None:
        begun = [one for one in self._prices if one.operation == operation and one.begins_on <= day]
        return max(begun, key=lambda one: one.begins_on).id if begun else None

    def _terms(self, month: Month) -> SlowTerms | None:
        last = _days(month)[-1]
        begun = [one for one in self._account.terms if one.starts_on <= last]
        return max(begun, key=lambda one: one.starts_on) if begun else None

    def _tax(self, month: Month, net: int) -> int:
        rates = [pct for year, pct in sorted(self._account.taxes.items()) if year <= month[0]]
        return _cents(Fraction(net * rates[-1], 100)) if rates else 0


def _days(month: Month) -> list[date]:
    day = date(month[0], month[1], 1)
    found = []
    while (day.year, day.month) == month:
        found.append(day)
        day += timedelta(days=1)
    return found


def _cents(exact: Fraction) -> int:
    return slow_minor_units(exact, 0)
