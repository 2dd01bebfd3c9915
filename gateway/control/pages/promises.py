"""Limits, objectives and credit schedules as people read them."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Literal

import msgspec

from catalog.limit import Limit, Rate
from catalog.passport import Passport
from catalog.sla import Credit, Objective, Sla
from catalog.vocabulary.money import plain
from gateway.control.pages.phrases import Phrases

Tone = Literal["good", "warn", "serious", "bad"]


class Badge(msgspec.Struct, frozen=True):
    """An objective: what is measured and the bound that is promised."""

    label: str
    bound: str
    credited: bool


class CreditRow(msgspec.Struct, frozen=True):
    """What comes back for an attainment, and how bad that is."""

    attained: str
    percent: str
    tone: Tone


class CreditSchedule(msgspec.Struct, frozen=True):
    """The schedule of one objective, best attainment first."""

    label: str
    rows: tuple[CreditRow, ...]


class Promise(msgspec.Struct, frozen=True):
    """The SLA of a service."""

    badges: tuple[Badge, ...]
    schedules: tuple[CreditSchedule, ...]
    maximum: str


def promise(sla: Sla, phrases: Phrases) -> Promise:
    """The SLA in words."""
    credited = {credit.objective for credit in sla.credits}
    return Promise(
        tuple(
            Badge(_label(objective, phrases), _bound(objective), objective.id in credited)
            for objective in sla.objectives
        ),
        tuple(_schedule(credit, sla, phrases) for credit in sla.credits),
        phrases("credit_maximum", percent=sla.maximum_credit_pct) if sla.credits else "",
    )


def limit_texts(passport: Passport, phrases: Phrases) -> tuple[str, ...]:
    """Each limit of a passport as a sentence."""
    return tuple(_limit(limit, phrases) for limit in passport.limits)


def _limit(limit: Limit, phrases: Phrases) -> str:
    calls = f"{limit.q:,}"
    if isinstance(limit, Rate):
        return phrases(f"rate_{limit.per}", calls=calls, window=limit.w)
    return phrases(
        "quota_hard" if limit.hard else "quota_soft",
        calls=calls,
        per=phrases(f"per_{limit.per}"),
        period=phrases(f"period_{limit.period}"),
        counted=phrases(f"quota_{limit.counts}"),
    )


def _label(objective: Objective, phrases: Phrases) -> str:
    what = _measure(objective, phrases)
    return what if objective.operation is None else f"{what} · {objective.operation}"


def _measure(objective: Objective, phrases: Phrases) -> str:
    if objective.measure == "latency_ms":
        assert objective.quantile is not None, "the passport's rules give a latency its quantile"
        return phrases("latency_ms", quantile=_percent(objective.quantile))
    if objective.measure == "outcome_rate":
        return phrases("outcome_rate", outcome=objective.outcome)
    return phrases(objective.measure)


def _bound(objective: Objective) -> str:
    """Availability is published in percent, rates as fractions; a quality objective is strict (below, not at most)."""
    if objective.measure == "availability":
        return _sided(objective, "{} %".format, strict=False)
    if objective.measure == "latency_ms":
        return _sided(objective, "{} ms".format, strict=False)
    return _sided(objective, lambda value: f"{_percent(value)} %", strict=objective.measure == "outcome_rate")


def _sided(objective: Objective, shown: Callable[[str], str], *, strict: bool) -> str:
    if objective.at_least is not None:
        return f"≥ {shown(objective.at_least)}"
    return f"{'<' if strict else '≤'} {shown(str(objective.at_most))}"


def _percent(fraction: str) -> str:
    return plain((Decimal(fraction) * 100).normalize())


def _schedule(credit: Credit, sla: Sla, phrases: Phrases) -> CreditSchedule:
    objective = next(one for one in sla.objectives if one.id == credit.objective)
    return CreditSchedule(_label(objective, phrases), tuple(_rows(credit, phrases)))


def _rows(credit: Credit, phrases: Phrases) -> Iterator[CreditRow]:
    above: str | None = None
    for step in credit.schedule:
        if above is None:
            attained = phrases("credit_from", low=step.at_least)
        elif Decimal(step.at_least) == 0:
            attained = phrases("credit_below", high=above)
        else:
            attained = phrases("credit_between", low=step.at_least, high=above)
        yield CreditRow(attained, step.credit_pct, _tone(Decimal(step.credit_pct)))
        above = step.at_least


def _tone(percent: Decimal) -> Tone:
    if percent == 0:
        return "good"
    return "warn" if percent <= 10 else "serious" if percent <= 50 else "bad"
