"""An objective over a month: the share that was good, and the figures that prove it."""

from collections.abc import Mapping
from datetime import date, datetime
from fractions import Fraction
from typing import Any

import msgspec

from billing.rollup.service_level import INTERVAL_MINUTES
from billing.sla import store
from billing.sla.attainment import NOTHING, Share, shown_pct
from billing.sla.availability import Window, availability
from billing.sla.latency import quantile_us, within
from billing.sla.store import Scope
from billing.transaction import Connection
from catalog.passport import Passport
from catalog.sla import Objective
from catalog.vocabulary.clock import rfc3339
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.period import Period

_TRAILING_MONTHS = 12
_PROBED = "each interval counts by the worse of its requests and its probe minutes; without either it is good"
_NOT_PROBED = "each interval counts by its requests, the sandbox is not probed; one without requests is good"


class Measured(msgspec.Struct, frozen=True):
    """The good share, what it was measured as in words for people (`p95 142 ms`), and the evidence as JSON values."""

    share: Share
    words: str
    evidence: Mapping[str, Any]


def scope_of(
    passport: Passport,
    objective: Objective,
    account_id: str | None = None,
    environment: Environment = "live",
) -> Scope:
    """The calls that an objective of a passport is about."""
    every = tuple(f"{passport.service}/{entry.id}" for entry in passport.operations)
    if objective.operation is None:
        return Scope(passport.service, every, None, account_id, environment)
    one = f"{passport.service}/{objective.operation}"
    return Scope(passport.service, (one,), one, account_id, environment)


async def measure_month(
    connection: Connection, scope: Scope, objective: Objective, period: Period, timezone: str
) -> Measured:
    """A calendar month. Calls belong to the month on their payer's own clock; the intervals of availability, which have no
    payer, to the month on the clock of `timezone`."""
    if objective.measure == "availability":
        return await measure_availability(connection, scope, Window(*period.bounds(timezone)))
    if objective.measure == "latency_ms":
        return _latency(objective, await store.latencies(connection, scope, month=period))
    if objective.measure == "error_rate":
        return errors(await store.counts(connection, scope, months=(period, period)))
    return await _outcomes(connection, scope, objective, period)


async def measure_day(
    connection: Connection, scope: Scope, objective: Objective, day: date, window: Window
) -> Measured | None:
    """One day, whose UTC bounds are `window`; None for outcomes, which are too few to be told by the day."""
    if objective.measure == "availability":
        return await measure_availability(connection, scope, window)
    if objective.measure == "latency_ms":
        return _latency(objective, await store.latencies(connection, scope, day=day))
    if objective.measure == "error_rate":
        return errors(await store.counts(connection, scope, window=window))
    return None


async def measure_availability(connection: Connection, scope: Scope, window: Window) -> Measured:
    """The intervals between two instants; the probe's misses are everybody's in the live environment, requests those in scope.

    Nothing at all for a window that ended before anything was observed.
    """
    first = await store.first_observed(connection, scope)
    if first is None or window.ends_at <= first:
        # Nobody looked yet: that says nothing, rather than that all was well.
        return Measured(
            NOTHING, _percent(NOTHING), {"rule": "nothing was called or probed before the end of the window"}
        )
    ended = await store.failed_intervals(connection, scope, window)
    missed = await store.missed_minutes(connection, scope, window)
    excluded = await store.announced(connection, scope, window)
    share = availability(window, ended, missed, [one.window for one in excluded])
    evidence = {
        "window": {"starts_at": rfc3339(window.starts_at), "ends_at": rfc3339(window.ends_at)},
        "rule": _PROBED if scope.is_probed else _NOT_PROBED,
        "interval_minutes": INTERVAL_MINUTES,
        "intervals": share.total,
        "intervals_lost": str(share.total - share.good),
        "failed_requests": sum(one.failures for one in ended.values()),
        **({"probe": await _probe(connection, window, missed)} if scope.is_probed else {}),
        "maintenance": [
            {
                "id": one.id,
                "starts_at": rfc3339(one.window.starts_at),
                "ends_at": rfc3339(one.window.ends_at),
                "announced_at": rfc3339(one.announced_at),
            }
            for one in excluded
        ],
    }
    return Measured(share, _percent(share), evidence)


async def _probe(
    connection: Connection, window: Window, missed: Mapping[datetime, Fraction]
) -> Mapping[str, Any]:
    return {
        "minutes_probed": await store.probed_minutes(connection, window),
        "minutes_missed": len(missed),
        "first_missed": rfc3339(min(missed)) if missed else None,
        "last_missed": rfc3339(max(missed)) if missed else None,
    }


def errors(ended: store.Counts) -> Measured:
    """The share of judged calls that were no error of ours."""
    share = Share(Fraction(ended.judged - ended.failures), ended.judged)
    evidence = {
        "calls": ended.calls,
        "caller_faults": ended.caller_faults,
        "in_maintenance": ended.in_maintenance,
        "judged": ended.judged,
        "failures": ended.failures,
    }
    return Measured(share, f"{ended.failures} / {ended.judged}", evidence)


def _latency(objective: Objective, counts: Mapping[int, int]) -> Measured:
    share = within(counts, objective.latency_us_max)
    quantile = quantile_us(counts, Fraction(str(objective.quantile)))
    evidence = {
        "calls": share.total,
        "within": int(share.good),
        "latency_us_max": objective.latency_us_max,
        "quantile_us": quantile,
        "calls_by_latency_us_max": {str(bound): counts[bound] for bound in sorted(counts)},
    }
    return Measured(share, "–" if quantile is None else f"{_milliseconds(quantile)} ms", evidence)


async def _outcomes(connection: Connection, scope: Scope, objective: Objective, period: Period) -> Measured:
    assert objective.outcome is not None, "the passport's rules give the objective its outcome"
    first = period
    answered = await _answered(connection, scope, (first, period))
    if widened := answered < objective.sample_min:
        for _ in range(_TRAILING_MONTHS - 1):
            first = first.previous()
        answered = await _answered(connection, scope, (first, period))
    found = await store.verdicts(connection, scope, objective.outcome, (first, period))
    share = Share(Fraction(max(answered - found.counted, 0)), answered)
    evidence = {
        "window": {"first_month": str(first), "last_month": str(period), "widened": widened},
        "rule": "the rate stays below the bound; a smaller sample widens the window to the trailing twelve months",
        "outcome": objective.outcome,
        "sample_min": objective.sample_min,
        "answered": answered,
        "outcomes": found.counted,
        "contested": found.contested,
        "dismissed": found.dismissed,
    }
    return Measured(share, f"{found.counted} / {answered}", evidence)


async def _answered(connection: Connection, scope: Scope, months: tuple[Period, Period]) -> int:
    ended = await store.counts(connection, scope, months=months)
    return ended.judged - ended.failures


def _percent(share: Share) -> str:
    shown = shown_pct(share.pct)
    return "–" if shown is None else f"{shown:f} %"


def _milliseconds(latency_us: int) -> str:
    return f"{latency_us // 1000}.{latency_us % 1000:03d}".rstrip("0").rstrip(".")
