"""Limits that are money: quotas, budgets and prepaid credit, promised to the workers as leases.

Revision: 0012
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_TERMS = (
    # A grant is what was paid in or given. Its row never changes: what became of it is told by the tables below.
    """
    CREATE TABLE billing.credit_grant (
        id text PRIMARY KEY,
        account_id text NOT NULL REFERENCES catalog.account,
        environment text NOT NULL CHECK (environment IN ('live', 'test')),
        amount numeric NOT NULL CHECK (amount > 0),
        currency text NOT NULL,
        category text NOT NULL CHECK (category IN ('paid', 'promotional')),
        priority integer NOT NULL CHECK (priority BETWEEN 0 AND 1000),
        valid_from timestamptz NOT NULL,
        valid_until timestamptz CHECK (valid_until > valid_from),
        granted_at timestamptz NOT NULL,
        granted_by text NOT NULL,
        changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id()
    )
    """,
    "CREATE INDEX credit_grant_account ON billing.credit_grant (account_id, environment)",
    # What of a grant paid an issued document: `captured` call by call at list price, `applied` in the end.
    """
    CREATE TABLE billing.credit_application (
        grant_id text NOT NULL REFERENCES billing.credit_grant,
        invoice_id text NOT NULL REFERENCES billing.invoice,
        account_id text NOT NULL,
        period date NOT NULL,
        captured numeric NOT NULL CHECK (captured >= 0),
        applied numeric NOT NULL CHECK (applied >= 0),
        applied_at timestamptz NOT NULL,
        PRIMARY KEY (grant_id, invoice_id)
    )
    """,
    "CREATE INDEX credit_application_invoice ON billing.credit_application (invoice_id)",
    """
    CREATE TABLE billing.credit_expiry (
        grant_id text PRIMARY KEY REFERENCES billing.credit_grant,
        account_id text NOT NULL,
        amount numeric NOT NULL CHECK (amount >= 0),
        expired_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE billing.budget (
        id text PRIMARY KEY,
        account_id text NOT NULL REFERENCES catalog.account,
        environment text NOT NULL CHECK (environment IN ('live', 'test')),
        scope text NOT NULL CHECK (scope IN ('account', 'application', 'cost_centre')),
        scope_id text NOT NULL,
        amount numeric NOT NULL CHECK (amount > 0),
        hard boolean NOT NULL,
        thresholds_pct integer[] NOT NULL CHECK (cardinality(thresholds_pct) BETWEEN 0 AND 10),
        ended boolean NOT NULL DEFAULT false,
        changed_at timestamptz NOT NULL,
        changed_by text NOT NULL,
        changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
        UNIQUE (account_id, environment, scope, scope_id)
    )
    """,
    """
    CREATE TABLE billing.budget_alarm (
        budget_id text NOT NULL REFERENCES billing.budget,
        account_id text NOT NULL,
        period date NOT NULL,
        threshold_pct integer NOT NULL,
        spent numeric NOT NULL,
        announced_at timestamptz NOT NULL,
        PRIMARY KEY (budget_id, period, threshold_pct)
    )
    """,
    *(
        f"CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON billing.{table} "
        "FOR EACH ROW EXECUTE FUNCTION catalog.stamp_change()"
        for table in ("credit_grant", "budget")
    ),
)

_LEASES = (
    # One hard limit in one period. What is left is its amount minus `used` minus `leased`; both move under a lock on
    # the row. `wanted_at`: somebody was refused while others held a part of it.
    """
    CREATE TABLE billing.allowance (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        account_id text NOT NULL,
        environment text NOT NULL CHECK (environment IN ('live', 'test')),
        kind text NOT NULL CHECK (kind IN ('quota', 'budget', 'credit')),
        subject text NOT NULL,
        starts_on date NOT NULL,
        used numeric NOT NULL CHECK (used >= 0),
        leased numeric NOT NULL DEFAULT 0 CHECK (leased >= 0),
        wanted_at timestamptz,
        UNIQUE (account_id, environment, kind, subject, starts_on)
    )
    """,
    # `period` is the month of the calls that it may be used for. `orphaned`: nobody will use it any more, and what was
    # used is read from the recorded calls once the journal is shipped to `bound_seq` and transactions have ended to `bound_xid`.
    """
    CREATE TABLE billing.lease (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        allowance_id bigint NOT NULL REFERENCES billing.allowance,
        account_id text NOT NULL,
        worker_id uuid NOT NULL,
        journal_id uuid NOT NULL,
        period date NOT NULL,
        granted numeric NOT NULL CHECK (granted >= 0),
        used numeric NOT NULL DEFAULT 0 CHECK (used BETWEEN 0 AND granted),
        granted_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'orphaned', 'closed')),
        bound_seq bigint,
        bound_xid xid8,
        closed_at timestamptz,
        CHECK ((state = 'closed') = (closed_at IS NOT NULL))
    )
    """,
    "CREATE INDEX lease_open ON billing.lease (allowance_id) WHERE state <> 'closed'",
    "CREATE INDEX lease_month ON billing.lease (allowance_id, period)",
    # Who writes a journal. A journal has one writer at a time, so the leases of any earlier one have no holder.
    """
    CREATE TABLE billing.lease_holder (
        journal_id uuid PRIMARY KEY,
        worker_id uuid NOT NULL,
        seen_at timestamptz NOT NULL
    )
    """,
    "ALTER TABLE billing.usage_event ADD COLUMN lease_ids bigint[], ADD COLUMN lease_amounts numeric[]",
)

_GUARDS = (
    *(
        f"CALL catalog.append_only('billing.{table}')"
        for table in ("credit_grant", "credit_application", "credit_expiry", "budget_alarm")
    ),
    *(
        f"CREATE TRIGGER never_emptied BEFORE TRUNCATE ON billing.{table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION catalog.refuse_change()"
        for table in ("credit_grant", "credit_application", "credit_expiry")
    ),
    *(
        f"CALL catalog.protect('billing.{table}')"
        for table in (
            "credit_grant",
            "credit_application",
            "credit_expiry",
            "budget",
            "budget_alarm",
            "allowance",
            "lease",
        )
    ),
)

_RIGHTS = (
    *(
        f"GRANT SELECT ON billing.{table} TO ordergate_gateway, ordergate_billing, ordergate_reader"
        for table in (
            "credit_grant",
            "credit_application",
            "credit_expiry",
            "budget",
            "budget_alarm",
            "allowance",
            "lease",
            "lease_holder",
        )
    ),
    "GRANT INSERT ON billing.credit_grant, billing.credit_application, billing.credit_expiry, billing.budget_alarm, "
    "billing.allowance TO ordergate_billing",
    "GRANT UPDATE (used, leased) ON billing.allowance TO ordergate_billing",
    "GRANT UPDATE (used, state, bound_seq, bound_xid, closed_at) ON billing.lease TO ordergate_billing",
    "GRANT INSERT ON billing.budget, billing.allowance, billing.lease, billing.lease_holder TO ordergate_gateway",
    "GRANT UPDATE (amount, hard, thresholds_pct, ended, changed_at, changed_by) ON billing.budget TO ordergate_gateway",
    "GRANT UPDATE (used, leased, wanted_at) ON billing.allowance TO ordergate_gateway",
    "GRANT UPDATE (granted, used, state, closed_at) ON billing.lease TO ordergate_gateway",
    "GRANT UPDATE (worker_id, seen_at) ON billing.lease_holder TO ordergate_gateway",
    # What a new limit starts from: the calls of its period so far.
    "GRANT SELECT ON billing.usage_hour, billing.usage_event, billing.watermark TO ordergate_gateway",
)


def upgrade() -> None:
    """Create the limits, their leases and the rights on both."""
    for statement in (*_TERMS, *_LEASES, *_GUARDS, *_RIGHTS):
        op.execute(statement)
