"""What can be promised by when: units on hand and every supply counted once, whatever is reserved taken off. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from atomic_services.stock.schema import Promise


def promises(
    promisable: int, supplies: Mapping[date, int], today: date, horizon_days: int, at_most: int | None = None
) -> tuple[Promise, ...]:
    """Cumulative promises: today's, and one for each day until the horizon on which units are expected.

    `promisable` may be below 0 where the safety stock is not there: supplies fill that first. A supply that is late,
    expected before today and not received, is not promised. `at_most` is what is left of a channel.
    """
    last, total, found = today + timedelta(days=horizon_days), promisable, list[Promise]()
    for day in sorted({today, *(day for day in supplies if today <= day <= last)}):
        inbound = supplies.get(day, 0)
        total += inbound
        units = max(total, 0)
        found.append(Promise(day, inbound, units if at_most is None else min(units, at_most)))
    return tuple(found)


def together(series: Sequence[tuple[Promise, ...]], at_most: int | None = None) -> tuple[Promise, ...]:
    """One SKU's promises over several warehouses: each day the sum of what every one of them promises by then."""
    inbound: Counter[date] = Counter()
    for one in series:
        inbound.update({promise.on: promise.inbound for promise in one})
    found = []
    for day in sorted(inbound):
        units = sum(_by(one, day) for one in series)
        found.append(Promise(day, inbound[day], units if at_most is None else min(units, at_most)))
    return tuple(found)


def as_lent(series: Sequence[Promise]) -> tuple[Promise, ...]:
    """The same promises with nothing of the supplies behind them but what each day adds: what is more is the owner's."""
    before = 0 if not series else max(series[0].promisable - series[0].inbound, 0)
    found = []
    for promise in series:
        found.append(Promise(promise.on, promise.promisable - before, promise.promisable))
        before = promise.promisable
    return tuple(found)


def _by(series: tuple[Promise, ...], day: date) -> int:
    return max((promise.promisable for promise in series if promise.on <= day), default=0)
