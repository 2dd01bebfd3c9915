"""The promise of a passport: objectives over a window and the credit that a miss costs."""

from decimal import Decimal
from itertools import pairwise
from typing import Literal

import msgspec

from catalog.vocabulary.money import decimal_of
from catalog.vocabulary.problem import FieldError


class Objective(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One measured promise. Percentages and rates are decimal strings; `at_most` of a latency is milliseconds."""

    id: str
    measure: Literal["availability", "latency_ms", "error_rate", "outcome_rate"]
    at_least: str | None = None
    at_most: str | int | None = None
    quantile: str | None = None
    outcome: str | None = None


class CreditStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The share of the charges given back when the attainment is at least this; lower bounds are inclusive."""

    at_least: str
    credit_pct: str


class Credit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The schedule of one objective, best attainment first, the last one from 0."""

    objective: str
    schedule: tuple[CreditStep, ...]


class Sla(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Objectives and credits of a service."""

    window: Literal["month"]
    objectives: tuple[Objective, ...]
    credits: tuple[Credit, ...] = ()
    maximum_credit_pct: str = "100"


def rules_broken(sla: Sla) -> list[FieldError]:
    """Everything wrong with an SLA, with pointers relative to it."""
    found: list[FieldError] = []
    ids = [objective.id for objective in sla.objectives]
    for index, objective in enumerate(sla.objectives):
        at = f"/objectives/{index}"
        if ids.count(objective.id) > 1:
            found.append(FieldError(f"{at}/id", "unique", "give each objective an id of its own"))
        if (objective.at_least is None) == (objective.at_most is None):
            found.append(FieldError(at, "one-bound", "give exactly one of at_least and at_most"))
        for name, value in (
            ("at_least", objective.at_least),
            ("at_most", objective.at_most),
            ("quantile", objective.quantile),
        ):
            if isinstance(value, str) and not _is_decimal(value):
                found.append(FieldError(f"{at}/{name}", "decimal", 'write a decimal string such as "99.95"'))
        if (objective.measure == "latency_ms") != (objective.quantile is not None):
            found.append(FieldError(f"{at}/quantile", "latency", "latency_ms needs a quantile, and only it"))
        if (objective.measure == "outcome_rate") != (objective.outcome is not None):
            found.append(FieldError(f"{at}/outcome", "outcome", "outcome_rate needs an outcome, and only it"))
    for index, credit in enumerate(sla.credits):
        at = f"/credits/{index}"
        if credit.objective not in ids:
            known = ", ".join(ids) or "none is declared"
            found.append(FieldError(f"{at}/objective", "reference", f"name one of the objectives: {known}"))
        found.extend(_schedule_broken(credit.schedule, f"{at}/schedule"))
    if not _is_percentage(sla.maximum_credit_pct):
        found.append(FieldError("/maximum_credit_pct", "percentage", 'write a percentage from "0" to "100"'))
    return found


def _schedule_broken(schedule: tuple[CreditStep, ...], at: str) -> list[FieldError]:
    found: list[FieldError] = []
    for index, step in enumerate(schedule):
        for name, value in (("at_least", step.at_least), ("credit_pct", step.credit_pct)):
            if not _is_percentage(value):
                found.append(
                    FieldError(f"{at}/{index}/{name}", "percentage", 'write a percentage from "0" to "100"')
                )
    if found:
        return found
    bounds = [Decimal(step.at_least) for step in schedule]
    if not bounds or bounds[-1] != 0:
        found.append(FieldError(at, "complete", 'end the schedule with at_least: "0"'))
    if any(upper <= lower for upper, lower in pairwise(bounds)):
        found.append(FieldError(at, "descending", "list the schedule from the best attainment down"))
    return found


def _is_decimal(text: str) -> bool:
    try:
        decimal_of(text)
    except ValueError:
        return False
    return True


def _is_percentage(text: str) -> bool:
    return _is_decimal(text) and 0 <= Decimal(text) <= 100
