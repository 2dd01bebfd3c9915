"""What the tables hold of a service level: sums, probe, maintenance, verdicts, terms. Reading only.

Live and test calls are never added up together. The outside probe looks at the live service: its misses are no figure of a
sandbox.
"""

from collections.abc import Mapping
from datetime import date, datetime
from fractions import Fraction

import msgspec

from billing.sla.availability import Ended, Window
from billing.transaction import Connection
from catalog.passport import Passport, stored_passport
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.period import Period


class Terms(msgspec.Struct, frozen=True):
    """A revision of a service's passport."""

    revision: int
    passport: Passport


class Scope(msgspec.Struct, frozen=True):
    """Which calls: the operations that an objective is about (`customs/check`), of one account or of all that are in the
    scope of the caller's transaction (None), in one environment."""

    service: str
    operations: tuple[str, ...]
    operation: str | None
    account_id: str | None = None
    environment: Environment = "live"

    @property
    def is_probed(self) -> bool:
        """Whether what the outside probe sees is about these calls."""
        return self.environment == "live"


class Counts(msgspec.Struct, frozen=True):
    """How calls ended. `calls` are all of them; the caller's faults and what fell into maintenance count for nobody."""

    calls: int
    caller_faults: int
    in_maintenance: int
    failures: int

    @property
    def judged(self) -> int:
        """The calls that count."""
        return self.calls - self.caller_faults - self.in_maintenance


class Verdicts(msgspec.Struct, frozen=True):
    """Reported outcomes: those that count, those that are contested and those that were dismissed."""

    counted: int
    contested: int
    dismissed: int


class Announced(msgspec.Struct, frozen=True):
    """A maintenance window that was announced before it started."""

    id: str
    operation: str | None
    window: Window
    announced_at: datetime
    announced_by: str


async def terms_at(connection: Connection, service: str, starts_at: datetime) -> Terms | None:
    """The passport that was in force when a window began; the first one for a window from before it.

    What is promised cannot be changed under a month that has begun. None for a service that was never published.
    """
    row = await connection.fetchrow(
        "SELECT revision, document FROM catalog.passport WHERE service = $1 "
        "ORDER BY published_at > $2, CASE WHEN published_at <= $2 THEN -revision ELSE revision END LIMIT 1",
        service,
        starts_at,
    )
    if row is None:
        return None
    return Terms(row["revision"], stored_passport(msgspec.json.decode(row["document"])))


# A row of `calls` (with a moment `starts_at`) that lies in a window announced ahead, of its service or operation.
_IN_MAINTENANCE = """
    EXISTS (SELECT FROM billing.maintenance AS announced
             WHERE announced.service = split_part(calls.operation, '/', 1)
               AND coalesce(announced.operation, calls.operation) = calls.operation
               AND calls.starts_at >= announced.starts_at AND calls.starts_at < announced.ends_at
               AND announced.announced_at < announced.starts_at)
"""


async def announced(connection: Connection, scope: Scope, window: Window) -> tuple[Announced, ...]:
    """The maintenance that covers the whole service or the whole of this operation and touches a window."""
    rows = await connection.fetch(
        "SELECT id, operation, starts_at, ends_at, announced_at, announced_by FROM billing.maintenance "
        "WHERE service = $1 AND (operation IS NULL OR operation = $2) AND announced_at < starts_at "
        "AND ends_at > $3 AND starts_at < $4 ORDER BY starts_at, id",
        scope.service,
        scope.operation,
        window.starts_at,
        window.ends_at,
    )
    return tuple(
        Announced(
            row["id"],
            row["operation"],
            Window(row["starts_at"], row["ends_at"]),
            row["announced_at"],
            row["announced_by"],
        )
        for row in rows
    )


async def failed_intervals(connection: Connection, scope: Scope, window: Window) -> Mapping[datetime, Ended]:
    """The intervals of a window in which calls ended in an error of ours, outside maintenance."""
    rows = await connection.fetch(
        f"""
        SELECT starts_at, sum(calls - caller_faults)::bigint AS judged, sum(failures)::bigint AS failures
        FROM billing.service_interval AS calls
        WHERE environment = $5 AND operation = ANY($1) AND starts_at >= $2 AND starts_at < $3
          AND ($4::text IS NULL OR account_id = $4) AND NOT {_IN_MAINTENANCE}
        GROUP BY 1 HAVING sum(failures) > 0
        """,  # noqa: S608 - a constant
        list(scope.operations),
        window.starts_at,
        window.ends_at,
        scope.account_id,
        scope.environment,
    )
    return {row["starts_at"]: Ended(row["judged"], row["failures"]) for row in rows}


async def missed_minutes(connection: Connection, scope: Scope, window: Window) -> Mapping[datetime, Fraction]:
    """The minutes in which the outside probe missed, with the share of these operations that did not answer."""
    if not scope.is_probed:
        return {}
    rows = await connection.fetch(
        f"""
        SELECT starts_at, count(*) AS missed
        FROM (SELECT minute AS starts_at, unnest(missed) AS operation FROM billing.probe_minute
              WHERE minute >= $2 AND minute < $3 AND missed <> '{{}}') AS calls
        WHERE operation = ANY($1) AND NOT {_IN_MAINTENANCE} GROUP BY 1
        """,  # noqa: S608 - a constant
        list(scope.operations),
        window.starts_at,
        window.ends_at,
    )
    return {row["starts_at"]: Fraction(row["missed"], len(scope.operations)) for row in rows}


async def first_observed(connection: Connection, scope: Scope) -> datetime | None:
    """When the first of these calls was made, or the outside probe first looked; None before either."""
    moment: datetime | None = await connection.fetchval(
        """
        SELECT least(
            (SELECT starts_at FROM billing.service_interval
             WHERE environment = $2 AND operation = ANY($1) AND ($3::text IS NULL OR account_id = $3)
             ORDER BY starts_at LIMIT 1),
            (SELECT min(minute) FROM billing.probe_minute WHERE $4))
        """,
        list(scope.operations),
        scope.environment,
        scope.account_id,
        scope.is_probed,
    )
    return moment


async def probed_minutes(connection: Connection, window: Window) -> int:
    """The minutes of a window in which the outside probe looked at all."""
    minutes: int = await connection.fetchval(
        "SELECT count(*) FROM billing.probe_minute WHERE minute >= $1 AND minute < $2",
        window.starts_at,
        window.ends_at,
    )
    return minutes


async def counts(
    connection: Connection,
    scope: Scope,
    *,
    months: tuple[Period, Period] | None = None,
    window: Window | None = None,
) -> Counts:
    """How calls ended in the payers' own months from one to another, or between two instants."""
    row = await connection.fetchrow(
        f"""
        SELECT coalesce(sum(calls), 0)::bigint AS calls,
               coalesce(sum(caller_faults) FILTER (WHERE NOT excluded), 0)::bigint AS caller_faults,
               coalesce(sum(calls) FILTER (WHERE excluded), 0)::bigint AS in_maintenance,
               coalesce(sum(failures) FILTER (WHERE NOT excluded), 0)::bigint AS failures
        FROM (SELECT calls.calls, caller_faults, failures, {_IN_MAINTENANCE} AS excluded
              FROM billing.service_interval AS calls
              WHERE environment = $7 AND operation = ANY($1) AND ($2::text IS NULL OR account_id = $2)
                AND ($3::date IS NULL OR period BETWEEN $3 AND $4)
                AND ($5::timestamptz IS NULL OR (starts_at >= $5 AND starts_at < $6))) AS counted
        """,  # noqa: S608 - a constant
        list(scope.operations),
        scope.account_id,
        *(months[0].first_day, months[1].first_day) if months else (None, None),
        *(window.starts_at, window.ends_at) if window else (None, None),
        scope.environment,
    )
    assert row is not None, "an aggregate has one row"
    return Counts(row["calls"], row["caller_faults"], row["in_maintenance"], row["failures"])


async def latencies(
    connection: Connection,
    scope: Scope,
    *,
    month: Period | None = None,
    day: date | None = None,
) -> Mapping[int, int]:
    """Answered calls by the bound of their latency in microseconds, in the payers' own month or day."""
    rows = await connection.fetch(
        "SELECT latency_us_max, sum(calls)::bigint AS calls FROM billing.latency_day "
        "WHERE environment = $5 AND operation = ANY($1) AND ($2::text IS NULL OR account_id = $2) "
        "AND ($3::date IS NULL OR period = $3) AND ($4::date IS NULL OR day = $4) GROUP BY 1",
        list(scope.operations),
        scope.account_id,
        month.first_day if month else None,
        day,
        scope.environment,
    )
    return {row["latency_us_max"]: row["calls"] for row in rows}


async def verdicts(
    connection: Connection,
    scope: Scope,
    outcome: str,
    months: tuple[Period, Period],
) -> Verdicts:
    """The verdicts of the payers' own months: one counts in the month of its report, once it is contested in the month in
    which it is upheld, and never while it is contested or after it was dismissed."""
    row = await connection.fetchrow(
        """
        SELECT count(*) FILTER (WHERE counts) AS counted,
               count(*) FILTER (WHERE contested AND ruling IS NULL) AS contested,
               count(*) FILTER (WHERE ruling = 'dismissed') AS dismissed
        FROM (SELECT contest.call_id IS NOT NULL AS contested, resolved.step AS ruling,
                     contest.call_id IS NULL OR coalesce(resolved.step, '') = 'upheld' AS counts,
                     date_trunc('month', coalesce(resolved.ruled_at, report.reported_at) AT TIME ZONE timezone)::date AS month
              FROM billing.outcome_report AS report
              JOIN catalog.account ON account.id = report.account_id
              LEFT JOIN billing.outcome_ruling AS contest
                     ON contest.call_id = report.call_id AND contest.step = 'contested'
              LEFT JOIN billing.outcome_ruling AS resolved
                     ON resolved.call_id = report.call_id AND resolved.step <> 'contested'
              WHERE environment = $6 AND operation = ANY($1) AND outcome = $2
                AND ($3::text IS NULL OR report.account_id = $3)) AS verdict
        WHERE month BETWEEN $4 AND $5
        """,
        list(scope.operations),
        outcome,
        scope.account_id,
        months[0].first_day,
        months[1].first_day,
        scope.environment,
    )
    assert row is not None, "an aggregate has one row"
    return Verdicts(row["counted"], row["contested"], row["dismissed"])


async def all_months_ended_at(connection: Connection, period: Period) -> datetime:
    """When a month is over on the clock of every account; only with all accounts in scope."""
    rows = await connection.fetch("SELECT DISTINCT timezone FROM catalog.account")
    return max(period.bounds(row["timezone"])[1] for row in rows)
