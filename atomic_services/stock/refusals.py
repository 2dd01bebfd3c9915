"""The refusals of stock, with the figures that explain them."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from msgspec import Struct

from atomic_services.stock.fields import Line
from atomic_services.stock.levels import Level
from atomic_services.stock.terms import Channel
from catalog.vocabulary.problem import BusinessRefusal


class HeldBack(Struct, frozen=True):
    """A level of which new orders wait, and the next day on which units of it are expected."""

    level: Level
    next_supply_on: date | None


def insufficient(lines: Sequence[Line], obtainable: Sequence[int]) -> BusinessRefusal:
    """The lines with what each could have had."""
    short = sum(units < line.quantity for line, units in zip(lines, obtainable, strict=True))
    return BusinessRefusal(
        "insufficient-stock",
        f"{short} of {len(lines)} lines cannot be reserved in full.",
        extra={"lines": [short_line(line, units) for line, units in zip(lines, obtainable, strict=True)]},
    )


def short_line(line: Line, available: int) -> dict[str, Any]:
    """A line and what there is for it."""
    return {
        "sku": line.sku,
        "warehouse": line.warehouse,
        "quantity": line.quantity,
        "available": available,
    }


def quota_exceeded(channel: Channel, wanted: int, left: int) -> BusinessRefusal:
    """The figures of the channel."""
    return BusinessRefusal(
        "quota-exceeded",
        f"Channel {channel.name!r} has {left} units left of its {channel.quota}; {wanted} were asked for.",
        extra={"channel": channel.name, "quota": channel.quota, "left": left, "quantity": wanted},
    )


def orders_held(
    lines: Sequence[tuple[int, Line, HeldBack]], today: date, hold_days: int, *, to_owner: bool
) -> BusinessRefusal:
    """Which lines wait for which levels, and what ends it; what the owner has is the owner's alone to read."""
    index, line, first = lines[0]
    until = today + timedelta(days=hold_days)
    figures = (
        f"{first.level.available} of its safety stock of {first.level.safety_stock} are available"
        if to_owner
        else "its stock is below its safety threshold"
    )
    return BusinessRefusal(
        "orders-held",
        f"/lines/{index}: new orders of {line.sku} from {first.level.warehouse} wait: {figures}, and no supply is "
        f"expected within {hold_days} days.",
        extra={"lines": [_held_line(*one, until, to_owner=to_owner) for one in lines]},
    )


def _held_line(index: int, line: Line, held: HeldBack, until: date, *, to_owner: bool) -> dict[str, Any]:
    level, day = held.level, held.next_supply_on
    figures = {"available": level.available, "safety_stock": level.safety_stock}
    return {
        "line": index,
        "sku": level.sku,
        "warehouse": level.warehouse,
        "quantity": line.quantity,
        **(figures if to_owner else {}),
        "next_supply_on": None if day is None else day.isoformat(),
        "ends_with": {
            **({"available": level.safety_stock} if to_owner else {}),
            "supply_expected_by": until.isoformat(),
        },
    }
