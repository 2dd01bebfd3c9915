"""What a service level is measured by: how calls ended in every five minutes, and how long the answered ones took.

Usage that was reported (`import`) is no call of ours: whoever served it, its ending and its time say nothing of our service.
Nor is what amends a record (`amendment`) a call.
"""

from billing.rollup.summed import Summed

INTERVAL_MINUTES = 5

# Intervals are instants, the same for every payer, so that they can be added up over all of them and laid beside the
# outside probe's minutes; `period` is the month on the payer's own clock, as in `usage_hour`.
SERVICE_INTERVAL = Summed(
    "service_interval",
    ("account_id", "environment", "period", "starts_at", "operation"),
    ("calls", "caller_faults", "failures"),
    """
    SELECT event.payer AS account_id, event.environment,
           date_trunc('month', event.occurred_at AT TIME ZONE account.timezone)::date AS period,
           date_bin('5 minutes', event.occurred_at, timestamptz '2000-01-01 00:00:00+00') AS starts_at,
           event.operation,
           count(*) AS calls,
           count(*) FILTER (WHERE event.class = 'caller_error') AS caller_faults,
           count(*) FILTER (WHERE event.class = 'provider_error') AS failures
      FROM billing.usage_event AS event
      JOIN catalog.account AS account ON account.id = event.payer
     WHERE event.stored_xid >= $1::xid8 AND event.stored_xid < $2::xid8
       AND event.recorded_by IN ('journal', 'transaction')
     GROUP BY 1, 2, 3, 4, 5
    """,
)

# A latency is counted under its upper bound of three significant digits (1,234,567 us under 1,240,000): at most 1 % above
# it, and a promise of up to three digits falls on a bound, so whether a call kept it is known exactly. Whole counts under
# fixed bounds merge by addition, in SQL as anywhere. Calls in announced maintenance never count; a window is
# announced before it starts, so the roll-up of a call in it always knows.
LATENCY_DAY = Summed(
    "latency_day",
    ("account_id", "environment", "period", "day", "operation", "latency_us_max"),
    ("calls",),
    """
    SELECT event.payer AS account_id, event.environment,
           date_trunc('month', event.occurred_at AT TIME ZONE account.timezone)::date AS period,
           (event.occurred_at AT TIME ZONE account.timezone)::date AS day,
           event.operation,
           (event.latency_us + step.us - 1) / step.us * step.us AS latency_us_max,
           count(*) AS calls
      FROM billing.usage_event AS event
      JOIN catalog.account AS account ON account.id = event.payer
     CROSS JOIN LATERAL (SELECT power(10::numeric, greatest(length(event.latency_us::text) - 3, 0))::bigint AS us) AS step
     WHERE event.stored_xid >= $1::xid8 AND event.stored_xid < $2::xid8
       AND event.recorded_by IN ('journal', 'transaction')
       AND event.class IN ('ok', 'declined')
       AND NOT EXISTS (
           SELECT FROM billing.maintenance
            WHERE service = split_part(event.operation, '/', 1) AND coalesce(operation, event.operation) = event.operation
              AND event.occurred_at >= starts_at AND event.occurred_at < ends_at AND announced_at < starts_at)
     GROUP BY 1, 2, 3, 4, 5, 6
    """,
)
