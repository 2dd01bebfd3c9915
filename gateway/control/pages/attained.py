"""What a service attained, as its page shows it: a light for each objective, and its days and months as bars."""

from collections.abc import Iterator, Mapping
from decimal import Decimal

import msgspec

from billing.view import ObjectiveLevel, Point, ServiceLevel
from gateway.control.pages.phrases import Phrases
from gateway.control.pages.promises import Badge, Tone

# Bars differ in height as well as in colour, so that colour is never alone: what is kept is full, what is missed short.
_HEIGHT = 28
_HEIGHTS = {"good": 28, "warn": 20, "bad": 11, "unknown": 4}
_TONES: dict[str, Tone | None] = {"good": "good", "warn": "warn", "bad": "bad", "unknown": None}
_GAP = 3


class Bar(msgspec.Struct, frozen=True):
    """A day or month in the coordinates of its strip; `title` is read out and shown under a pointer."""

    x: int
    y: int
    width: int
    height: int
    tone: str
    title: str


class Strip(msgspec.Struct, frozen=True):
    """Bars from left to right, the latest at the right edge, in a picture of `width` by `height`; `label` says of what
    for who does not see it, `caption` for who does."""

    label: str
    caption: str
    width: int
    height: int
    bars: tuple[Bar, ...]


class AttainedView(msgspec.Struct, frozen=True):
    """An objective: its light in words, what was measured this month, and what is left of the error budget."""

    label: str
    bound: str
    tone: Tone | None
    state: str
    measured: str
    budget: str
    strips: tuple[Strip, ...]


def attained_views(
    level: ServiceLevel, badges: Mapping[str, Badge], phrases: Phrases
) -> tuple[AttainedView, ...]:
    """The objectives that were measured, each under its badge (by the objective's id)."""
    return tuple(
        _view(one, badges[one.objective], phrases)
        for one in level.objectives
        if one.objective in badges and (one.days or one.months)
    )


def burning(level: ServiceLevel, badges: Mapping[str, Badge], phrases: Phrases) -> tuple[str, ...]:
    """The objectives with an open alarm, each as a sentence with its fastest burn."""
    fastest: dict[str, Decimal] = {}
    for alarm in level.alarms:
        if alarm.ended_at is None and alarm.objective in badges:
            fastest[alarm.objective] = max(Decimal(alarm.burn), fastest.get(alarm.objective, Decimal(0)))
    return tuple(
        phrases("sla_burning", objective=badges[objective].label, burn=f"{burn:.1f}")
        for objective, burn in fastest.items()
    )


def _view(one: ObjectiveLevel, badge: Badge, phrases: Phrases) -> AttainedView:
    light = one.attained.light if one.attained else "unknown"
    left = one.attained.budget_left_pct if one.attained else None
    return AttainedView(
        badge.label,
        badge.bound,
        _TONES[light],
        phrases(f"sla_{light}"),
        one.attained.measured if one.attained else "–",
        "" if left is None else _budget(left, phrases),
        tuple(_strips(one, badge.label, phrases)),
    )


def _strips(one: ObjectiveLevel, label: str, phrases: Phrases) -> Iterator[Strip]:
    if one.months:
        titles = [(point, str(point.starts_on)[:7]) for point in one.months]
        yield _strip(phrases("sla_months", objective=label), phrases("sla_12_months"), titles, 12, 22)
    if one.days:
        titles = [(point, str(point.starts_on)) for point in one.days]
        yield _strip(phrases("sla_days", objective=label), phrases("sla_30_days"), titles, 30, 7)


def _strip(label: str, caption: str, points: list[tuple[Point, str]], places: int, width: int) -> Strip:
    step = width + _GAP
    first = places - len(points)
    bars = tuple(
        Bar(
            (first + index) * step,
            _HEIGHT - _HEIGHTS[point.light],
            width,
            _HEIGHTS[point.light],
            point.light,
            f"{when}: {point.measured}",
        )
        for index, (point, when) in enumerate(points)
    )
    return Strip(label, caption, places * step - _GAP, _HEIGHT, bars)


def _budget(left: str, phrases: Phrases) -> str:
    if Decimal(left) <= 0:
        return phrases("sla_budget_gone")
    return phrases("sla_budget_left", percent=left.partition(".")[0])
