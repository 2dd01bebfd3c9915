"""Reported usage takes of limits, and is no evidence of our service.

Revision: 0029
"""

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # What was used elsewhere is taken of credit by a lease that nobody held: closed when it is made, all of it used.
    "ALTER TABLE billing.lease ALTER COLUMN worker_id DROP NOT NULL, ALTER COLUMN journal_id DROP NOT NULL, "
    "ADD CONSTRAINT lease_held CHECK ((worker_id IS NULL) = (journal_id IS NULL) "
    "AND (worker_id IS NOT NULL OR (state = 'closed' AND used = granted)))",
)

# What the roll-up added for reported usage to the sums that the service level is measured by. A row that is nothing but
# reported usage goes with it: made again from the usage rows there would be none.
_REPORTED = """
    FROM billing.usage_event AS event JOIN catalog.account AS account ON account.id = event.payer
    WHERE event.recorded_by = 'import' AND event.stored_xid < (SELECT xid FROM billing.watermark WHERE step = 'rollup')
"""
_CORRECTIONS = (
    f"""
    UPDATE billing.service_interval AS kept SET calls = kept.calls - reported.calls
    FROM (SELECT event.payer AS account_id, event.environment,
                 date_trunc('month', event.occurred_at AT TIME ZONE account.timezone)::date AS period,
                 date_bin('5 minutes', event.occurred_at, timestamptz '2000-01-01 00:00:00+00') AS starts_at,
                 event.operation, count(*) AS calls {_REPORTED} GROUP BY 1, 2, 3, 4, 5) AS reported
    WHERE (kept.account_id, kept.environment, kept.period, kept.starts_at, kept.operation)
        = (reported.account_id, reported.environment, reported.period, reported.starts_at, reported.operation)
    """,  # noqa: S608 - a constant
    "DELETE FROM billing.service_interval WHERE calls = 0",
    # Reported usage has no latency, and answered calls always have one; it was never counted in announced maintenance.
    f"""
    UPDATE billing.latency_day AS kept SET calls = kept.calls - reported.calls
    FROM (SELECT event.payer AS account_id, event.environment,
                 date_trunc('month', event.occurred_at AT TIME ZONE account.timezone)::date AS period,
                 (event.occurred_at AT TIME ZONE account.timezone)::date AS day, event.operation, count(*) AS calls
          {_REPORTED} AND NOT EXISTS (
              SELECT FROM billing.maintenance
              WHERE service = split_part(event.operation, '/', 1) AND coalesce(operation, event.operation) = event.operation
                AND event.occurred_at >= starts_at AND event.occurred_at < ends_at AND announced_at < starts_at)
          GROUP BY 1, 2, 3, 4, 5) AS reported
    WHERE (kept.account_id, kept.environment, kept.period, kept.day, kept.operation, kept.latency_us_max)
        = (reported.account_id, reported.environment, reported.period, reported.day, reported.operation, 0)
    """,  # noqa: S608 - a constant
    "DELETE FROM billing.latency_day WHERE calls = 0",
)


def upgrade() -> None:
    """Let a lease have no holder, and take reported usage out of the sums of the service level."""
    for statement in _STATEMENTS:
        op.execute(statement)
    op.execute("SET LOCAL statement_timeout = 0")
    for statement in _CORRECTIONS:
        op.execute(statement)
