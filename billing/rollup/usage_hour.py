"""The grouping of usage rows into `billing.usage_hour`: stated once, used to add up and to check the sums."""

from billing.rollup.summed import Summed

KEY = (
    "account_id",
    "environment",
    "period",
    "hour",
    "subscription_id",
    "application_id",
    "cost_centre_id",
    "operation",
    "price_version",
    "class",
    "outcome",
    "fault",
)
SUMS = ("calls", "billable_calls", "units", "latency_us_sum")

KEY_LIST = ", ".join(KEY)
SUM_LIST = ", ".join(SUMS)

# An amending row is no call: it only adds to the units, or takes from them. `account_id` is who pays. Hour and month are
# those of the payer's own clock: in a zone at +05:45 an hour begins at a quarter past, and where clocks go back the doubled
# hour is two hours.
GROUPED_USAGE = """
    SELECT event.payer AS account_id,
           event.environment,
           date_trunc('month', event.occurred_at AT TIME ZONE account.timezone)::date AS period,
           date_trunc('hour', event.occurred_at, account.timezone) AS hour,
           event.subscription_id, event.application_id, event.cost_centre_id, event.operation, event.price_version,
           event.class, event.outcome, event.fault,
           count(*) FILTER (WHERE event.amends IS NULL) AS calls,
           count(*) FILTER (WHERE event.billable) AS billable_calls,
           sum(event.units) AS units,
           sum(event.latency_us)::numeric AS latency_us_sum
      FROM billing.usage_event AS event
      JOIN catalog.account AS account ON account.id = event.payer
     WHERE event.stored_xid >= $1::xid8 AND event.stored_xid < $2::xid8
     GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
"""

USAGE_HOUR = Summed("usage_hour", KEY, SUMS, GROUPED_USAGE)
