"""The promise of a passport: objectives over a window and the credit that a miss costs."""

from collections.abc import Collection
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Literal

import msgspec

from catalog.vocabulary.money import decimal_of
from catalog.vocabulary.problem import FieldError

Measure = Literal["availability", "latency_ms", "error_rate", "outcome_rate"]

PROBE_AGENT = "ordergate-probe"
"""How the outside probe, which measures availability, names itself in `User-Agent`: what it is answered is no figure of callers."""

_LATENCY_DIGITS = 3
_LATENCY_MS_MAX = 120_000


class Objective(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One measured promise, of one operation of the service (`check`) or, without `operation`, of all of them.

    Percentages and rates are decimal strings; `at_most` of a latency is milliseconds. Every promise is the same promise
    in another guise: at least `target_pct` percent of something is good. Availability says it outright; a latency's
    quantile is the share of answers within the bound; a rate is what is left over.
    """

    id: str
    measure: Measure
    at_least: str | None = None
    at_most: str | int | None = None
    quantile: str | None = None
    outcome: str | None = None
    operation: str | None = None

    @property
    def target_pct(self) -> Fraction:
        """The percentage that has to be good."""
        if self.measure == "availability":
            return Fraction(str(self.at_least))
        if self.measure == "latency_ms":
            return 100 * Fraction(str(self.quantile))
        return 100 * (1 - Fraction(str(self.at_most)))

    @property
    def strict(self) -> bool:
        """Whether the target itself is a miss: an outcome's rate stays below its bound."""
        return self.measure == "outcome_rate"

    @property
    def sample_min(self) -> int:
        """The fewest answers that a strict rate can be judged on: with fewer, a single bad one is above the bound."""
        if not self.strict:
            return 1
        return int(1 / Fraction(str(self.at_most))) + 1

    @property
    def latency_us_max(self) -> int:
        """The bound of a latency in microseconds."""
        return int(1000 * Fraction(str(self.at_most)))


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

    def schedule_of(self, objective: Objective) -> tuple[CreditStep, ...]:
        """The steps of an objective's credit, none where a miss costs nothing."""
        return next((one.schedule for one in self.credits if one.objective == objective.id), ())


def rules_broken(sla: Sla, operations: Collection[str]) -> list[FieldError]:
    """Everything wrong with the SLA of a service with these operations (`check`), with pointers relative to it."""
    found: list[FieldError] = []
    ids = [objective.id for objective in sla.objectives]
    for index, objective in enumerate(sla.objectives):
        at, before = f"/objectives/{index}", len(found)
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
        if (objective.measure == "availability") != (objective.at_least is not None):
            detail = "availability is promised with at_least, everything else with at_most"
            found.append(FieldError(at, "bound", detail))
        if objective.operation is not None and objective.operation not in operations:
            found.append(FieldError(f"{at}/operation", "reference", "name an operation of this passport"))
        if (objective.measure == "latency_ms") != (objective.quantile is not None):
            found.append(FieldError(f"{at}/quantile", "latency", "latency_ms needs a quantile, and only it"))
        if (objective.measure == "outcome_rate") != (objective.outcome is not None):
            found.append(FieldError(f"{at}/outcome", "outcome", "outcome_rate needs an outcome, and only it"))
        if len(found) == before:
            found.extend(_range_broken(objective, at))
    credited = [credit.objective for credit in sla.credits]
    for index, credit in enumerate(sla.credits):
        at = f"/credits/{index}"
        if credited.index(credit.objective) != index:
            found.append(FieldError(f"{at}/objective", "unique", "give each objective one schedule"))
        if credit.objective not in ids:
            known = ", ".join(ids) or "none is declared"
            found.append(FieldError(f"{at}/objective", "reference", f"name one of the objectives: {known}"))
        found.extend(_schedule_broken(credit.schedule, f"{at}/schedule"))
    if not _is_percentage(sla.maximum_credit_pct):
        found.append(FieldError("/maximum_credit_pct", "percentage", 'write a percentage from "0" to "100"'))
    return found


def _range_broken(objective: Objective, at: str) -> list[FieldError]:
    """A bound that could never be met, never be missed, or not be told exactly."""
    if objective.measure == "availability":
        if not _is_percentage(str(objective.at_least)):
            return [FieldError(f"{at}/at_least", "percentage", 'write a percentage from "0" to "100"')]
    elif objective.measure == "latency_ms":
        if not 0 < Decimal(str(objective.quantile)) < 1:
            return [FieldError(f"{at}/quantile", "range", 'write a quantile between 0 and 1, such as "0.95"')]
        microseconds = 1000 * Fraction(str(objective.at_most))
        exact = microseconds.denominator == 1 and len(str(microseconds).rstrip("0")) <= _LATENCY_DIGITS
        if not 0 < microseconds <= 1000 * _LATENCY_MS_MAX or not exact:
            detail = (
                "write milliseconds up to 120000 with at most three significant digits, such as 150 or 2.5"
            )
            return [FieldError(f"{at}/at_most", "range", detail)]
    elif not 0 <= Decimal(str(objective.at_most)) < 1 or (
        objective.strict and not Decimal(str(objective.at_most))
    ):
        detail = (
            'write a rate below 1, such as "0.001"; the rate of an outcome stays below it, so it is above 0'
        )
        return [FieldError(f"{at}/at_most", "range", detail)]
    return []


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
