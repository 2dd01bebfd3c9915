"""The service level: how calls ended every five minutes, the outside probe, maintenance, verdicts, judgements, credits.

Revision: 0009
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE billing.service_interval (
        account_id text NOT NULL,
        environment text NOT NULL,
        period date NOT NULL,
        starts_at timestamptz NOT NULL,
        operation text NOT NULL,
        calls bigint NOT NULL,
        caller_faults bigint NOT NULL,
        failures bigint NOT NULL,
        PRIMARY KEY (account_id, environment, period, starts_at, operation)
    )
    """,
    "CREATE INDEX service_interval_recent ON billing.service_interval (environment, starts_at)",
    """
    CREATE TABLE billing.latency_day (
        account_id text NOT NULL,
        environment text NOT NULL,
        period date NOT NULL,
        day date NOT NULL,
        operation text NOT NULL,
        latency_us_max bigint NOT NULL,
        calls bigint NOT NULL,
        PRIMARY KEY (account_id, environment, period, day, operation, latency_us_max)
    )
    """,
    # What was announced stays as it was announced. A window counts if `announced_at` is before it starts.
    """
    CREATE TABLE billing.maintenance (
        id text PRIMARY KEY,
        service text NOT NULL,
        operation text CHECK (split_part(operation, '/', 1) = service),
        starts_at timestamptz NOT NULL,
        ends_at timestamptz NOT NULL CHECK (ends_at > starts_at),
        reason text NOT NULL,
        announced_at timestamptz NOT NULL,
        announced_by text NOT NULL,
        CHECK (extract(epoch FROM starts_at)::bigint % 300 = 0 AND extract(epoch FROM ends_at)::bigint % 300 = 0)
    )
    """,
    "CREATE INDEX maintenance_service ON billing.maintenance (service, starts_at)",
    # One row a minute in which the outside probe ran; a minute without one was not looked at.
    """
    CREATE TABLE billing.probe_minute (
        minute timestamptz PRIMARY KEY CHECK (extract(epoch FROM minute)::numeric % 60 = 0),
        probed integer NOT NULL CHECK (probed > 0),
        missed text[] NOT NULL
    )
    """,
    "CREATE INDEX probe_minute_missed ON billing.probe_minute (minute) WHERE missed <> '{}'",
    """
    CREATE TABLE billing.outcome_report (
        call_id uuid PRIMARY KEY,
        account_id text NOT NULL,
        environment text NOT NULL,
        operation text NOT NULL,
        outcome text NOT NULL,
        reason text NOT NULL,
        occurred_at timestamptz NOT NULL,
        reported_at timestamptz NOT NULL,
        reported_by text NOT NULL
    )
    """,
    "CREATE INDEX outcome_report_operation ON billing.outcome_report (operation, outcome)",
    """
    CREATE TABLE billing.outcome_ruling (
        call_id uuid NOT NULL REFERENCES billing.outcome_report,
        account_id text NOT NULL,
        step text NOT NULL CHECK (step IN ('contested', 'upheld', 'dismissed')),
        reason text NOT NULL,
        ruled_at timestamptz NOT NULL,
        ruled_by text NOT NULL,
        PRIMARY KEY (call_id, step)
    )
    """,
    "CREATE UNIQUE INDEX outcome_resolved_once ON billing.outcome_ruling (call_id) WHERE step <> 'contested'",
    # Service-wide and final: what a month's objective came to, by the terms of its window, with the evidence.
    """
    CREATE TABLE billing.sla_judgement (
        service text NOT NULL,
        objective text NOT NULL,
        period date NOT NULL,
        timezone text NOT NULL,
        operation text,
        state text NOT NULL CHECK (state IN ('met', 'missed', 'unjudged')),
        credit_pct numeric NOT NULL CHECK (credit_pct BETWEEN 0 AND 100),
        maximum_credit_pct numeric NOT NULL CHECK (maximum_credit_pct BETWEEN 0 AND 100),
        evidence jsonb NOT NULL,
        judged_at timestamptz NOT NULL,
        PRIMARY KEY (service, objective, period, timezone)
    )
    """,
    # Steps of a credit follow each other as the steps of a rated line do: `amount` is due now minus given before.
    """
    CREATE TABLE billing.credit_line (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        account_id text NOT NULL,
        environment text NOT NULL CHECK (environment = 'live'),
        service text NOT NULL,
        objective text NOT NULL,
        period date NOT NULL,
        timezone text NOT NULL,
        step integer NOT NULL CHECK (step > 0),
        currency text NOT NULL,
        charges numeric NOT NULL,
        amount numeric NOT NULL CHECK (amount <> 0),
        amount_after numeric NOT NULL CHECK (amount_after >= 0),
        delivered_by jsonb NOT NULL,
        invoice_id text NOT NULL REFERENCES billing.invoice,
        booked_at timestamptz NOT NULL,
        UNIQUE (account_id, environment, service, objective, period, step),
        FOREIGN KEY (service, objective, period, timezone) REFERENCES billing.sla_judgement
    )
    """,
    "CREATE INDEX credit_line_invoice ON billing.credit_line (invoice_id)",
    "CREATE TRIGGER needs_draft BEFORE INSERT ON billing.credit_line "
    "FOR EACH ROW EXECUTE FUNCTION billing.needs_draft()",
    # The service-wide figures that pages show, by day and month; made anew from the sums whenever they are looked at.
    """
    CREATE TABLE billing.sla_figure (
        service text NOT NULL,
        objective text NOT NULL,
        span text NOT NULL CHECK (span IN ('day', 'month')),
        starts_on date NOT NULL,
        state text NOT NULL CHECK (state IN ('met', 'missed', 'unjudged')),
        attained_pct numeric,
        target_pct numeric NOT NULL,
        budget_left_pct numeric,
        measured text NOT NULL,
        final boolean NOT NULL,
        updated_at timestamptz NOT NULL,
        PRIMARY KEY (service, objective, span, starts_on)
    )
    """,
    """
    CREATE TABLE billing.sla_alarm (
        id text PRIMARY KEY,
        service text NOT NULL,
        objective text NOT NULL,
        rule text NOT NULL,
        began_at timestamptz NOT NULL,
        ended_at timestamptz CHECK (ended_at >= began_at),
        burn numeric NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX sla_alarm_open ON billing.sla_alarm (service, objective, rule) WHERE ended_at IS NULL",
    *(
        f"CALL catalog.append_only('billing.{table}')"
        for table in (
            "maintenance",
            "probe_minute",
            "outcome_report",
            "outcome_ruling",
            "sla_judgement",
            "credit_line",
        )
    ),
    "CREATE TRIGGER never_emptied BEFORE TRUNCATE ON billing.credit_line "
    "FOR EACH STATEMENT EXECUTE FUNCTION catalog.refuse_change()",
    *(
        f"CALL catalog.protect('billing.{table}')"
        for table in ("service_interval", "latency_day", "outcome_report", "outcome_ruling", "credit_line")
    ),
    *(
        f"GRANT SELECT ON billing.{table} TO ordergate_billing, ordergate_reader"
        for table in (
            "service_interval",
            "latency_day",
            "maintenance",
            "probe_minute",
            "outcome_report",
            "outcome_ruling",
            "sla_judgement",
            "credit_line",
            "sla_figure",
            "sla_alarm",
        )
    ),
    "GRANT INSERT ON billing.service_interval, billing.latency_day, billing.probe_minute, billing.sla_judgement, "
    "billing.credit_line, billing.sla_figure, billing.sla_alarm TO ordergate_billing",
    "GRANT UPDATE ON billing.service_interval, billing.latency_day, billing.sla_figure TO ordergate_billing",
    "GRANT UPDATE (ended_at) ON billing.sla_alarm TO ordergate_billing",
    "GRANT SELECT, INSERT ON billing.maintenance, billing.outcome_report, billing.outcome_ruling TO ordergate_gateway",
    "GRANT SELECT ON billing.sla_judgement TO ordergate_gateway",
)

# What the roll-up adds from now on, for the rows below its watermark.
_HISTORY = (
    """
    INSERT INTO billing.service_interval
    SELECT event.payer, event.environment, date_trunc('month', event.occurred_at AT TIME ZONE account.timezone)::date,
           date_bin('5 minutes', event.occurred_at, timestamptz '2000-01-01 00:00:00+00'), event.operation,
           count(*), count(*) FILTER (WHERE event.class = 'caller_error'),
           count(*) FILTER (WHERE event.class = 'provider_error')
      FROM billing.usage_event AS event JOIN catalog.account AS account ON account.id = event.payer
     WHERE event.stored_xid < (SELECT xid FROM billing.watermark WHERE step = 'rollup')
     GROUP BY 1, 2, 3, 4, 5
    """,
    """
    INSERT INTO billing.latency_day
    SELECT event.payer, event.environment, date_trunc('month', event.occurred_at AT TIME ZONE account.timezone)::date,
           (event.occurred_at AT TIME ZONE account.timezone)::date, event.operation,
           (event.latency_us + step.us - 1) / step.us * step.us, count(*)
      FROM billing.usage_event AS event JOIN catalog.account AS account ON account.id = event.payer
     CROSS JOIN LATERAL (SELECT power(10::numeric, greatest(length(event.latency_us::text) - 3, 0))::bigint AS us) AS step
     WHERE event.stored_xid < (SELECT xid FROM billing.watermark WHERE step = 'rollup')
       AND event.class IN ('ok', 'declined')
     GROUP BY 1, 2, 3, 4, 5, 6
    """,
)


def upgrade() -> None:
    """Create the tables, and add up the usage that the roll-up has taken already."""
    for statement in _STATEMENTS:
        op.execute(statement)
    op.execute("SET LOCAL statement_timeout = 0")
    for statement in _HISTORY:
        op.execute(statement)
