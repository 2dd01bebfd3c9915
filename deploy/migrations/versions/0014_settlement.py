"""Settling between units: transfers, allocation rules, disputes, approvals, and the close calendar.

Revision: 0014
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_TABLES = (
    # What a document owes each unit that delivers a service. `document_id` is an invoice's or a credit note's; the rows
    # of a document and service carry all of its revenue and credits.
    """
    CREATE TABLE billing.transfer (
        document_id text NOT NULL,
        account_id text NOT NULL REFERENCES catalog.account,
        environment text NOT NULL CHECK (environment IN ('live', 'test')),
        period date NOT NULL,
        service text NOT NULL,
        unit text NOT NULL,
        share_pct numeric NOT NULL CHECK (share_pct > 0 AND share_pct <= 100),
        currency text NOT NULL,
        revenue numeric NOT NULL,
        credits numeric NOT NULL,
        revision integer NOT NULL,
        booked_at timestamptz NOT NULL,
        PRIMARY KEY (document_id, service, unit)
    )
    """,
    "CREATE INDEX transfer_unit ON billing.transfer (unit, period)",
    # How an account splits its own bill over its cost centres, in force from a month on; a later row of the same scope
    # and month replaces. Scope '' is the whole account, 'customs' a service, 'customs/check' an operation.
    """
    CREATE TABLE catalog.allocation_rule (
        id text PRIMARY KEY,
        account_id text NOT NULL REFERENCES catalog.account,
        scope text NOT NULL,
        effective_from date NOT NULL CHECK (extract(day FROM effective_from) = 1),
        revision integer NOT NULL CHECK (revision > 0),
        parts jsonb NOT NULL,
        set_at timestamptz NOT NULL,
        set_by text NOT NULL,
        UNIQUE (account_id, scope, effective_from, revision)
    )
    """,
    # A payer does not agree with a line. Which one is told by what the line is of: positions on a draft may move.
    """
    CREATE TABLE billing.dispute (
        id text PRIMARY KEY,
        account_id text NOT NULL REFERENCES catalog.account,
        environment text NOT NULL CHECK (environment IN ('live', 'test')),
        invoice_id text NOT NULL REFERENCES billing.invoice,
        line text NOT NULL,
        service text NOT NULL,
        operation text NOT NULL,
        call_id uuid UNIQUE,
        currency text NOT NULL,
        amount numeric NOT NULL CHECK (amount > 0),
        reason text NOT NULL,
        opened_at timestamptz NOT NULL,
        opened_by text NOT NULL
    )
    """,
    "CREATE INDEX dispute_invoice ON billing.dispute (invoice_id)",
    """
    CREATE TABLE billing.dispute_ruling (
        dispute_id text PRIMARY KEY REFERENCES billing.dispute,
        account_id text NOT NULL,
        decision text NOT NULL CHECK (decision IN ('accepted', 'rejected')),
        reason text NOT NULL,
        credit_note_id text REFERENCES billing.credit_note,
        ruled_at timestamptz NOT NULL,
        ruled_by text NOT NULL,
        CHECK ((decision = 'accepted') = (credit_note_id IS NOT NULL))
    )
    """,
    # Accepted at an amount: a draft that moved since has to be accepted again.
    """
    CREATE TABLE billing.approval (
        invoice_id text NOT NULL REFERENCES billing.invoice,
        account_id text NOT NULL,
        total numeric NOT NULL,
        approved_at timestamptz NOT NULL,
        approved_by text NOT NULL,
        PRIMARY KEY (invoice_id, total)
    )
    """,
    # Days after the month's end on which a kind of account may dispute its draft, and on which it is issued. The last
    # row of a kind counts; without one a month is issued as soon as it is closed.
    """
    CREATE TABLE billing.close_calendar (
        kind text NOT NULL CHECK (kind IN ('internal', 'external', 'platform')),
        revision integer NOT NULL CHECK (revision > 0),
        disputes_day integer NOT NULL CHECK (disputes_day >= 0),
        issue_day integer NOT NULL CHECK (issue_day BETWEEN disputes_day AND 27),
        set_at timestamptz NOT NULL,
        set_by text NOT NULL,
        PRIMARY KEY (kind, revision)
    )
    """,
)

# The gateway may open a dispute and write nothing else into the ledger: what it moves is decided here, with the owner's
# rights. On a draft nothing is owed yet: its disputes are held when it is issued.
_HOLD = """
    CREATE FUNCTION billing.hold_disputed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        document text := (SELECT state FROM billing.invoice WHERE id = NEW.invoice_id);
        held bigint;
    BEGIN
        IF document IS NULL THEN
            RAISE EXCEPTION 'document % is out of scope', NEW.invoice_id USING ERRCODE = 'insufficient_privilege';
        END IF;
        IF document = 'issued' THEN
            INSERT INTO billing.ledger_transaction (environment, kind, source, booked_at)
            VALUES (NEW.environment, 'dispute_held', 'dispute:' || NEW.id, NEW.opened_at) RETURNING id INTO held;
            INSERT INTO billing.posting (transaction_id, position, account_id, ledger_account, currency, amount)
            VALUES (held, 1, NEW.account_id, 'disputed', NEW.currency, NEW.amount),
                   (held, 2, NEW.account_id, 'receivable', NEW.currency, -NEW.amount);
        END IF;
        RETURN NULL;
    END $$
"""

_RIGHTS = (
    "CREATE TRIGGER hold_disputed AFTER INSERT ON billing.dispute "
    "FOR EACH ROW EXECUTE FUNCTION billing.hold_disputed()",
    *(
        f"CALL catalog.append_only('{table}')"
        for table in (
            "billing.transfer",
            "billing.dispute",
            "billing.dispute_ruling",
            "billing.approval",
            "billing.close_calendar",
            "catalog.allocation_rule",
        )
    ),
    *(
        f"CREATE TRIGGER never_emptied BEFORE TRUNCATE ON billing.{table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION catalog.refuse_change()"
        for table in ("transfer", "dispute", "dispute_ruling", "approval")
    ),
    *(
        f"CALL catalog.protect('{table}')"
        for table in (
            "billing.transfer",
            "billing.dispute",
            "billing.dispute_ruling",
            "billing.approval",
            "catalog.allocation_rule",
        )
    ),
    "GRANT SELECT ON billing.transfer, billing.dispute, billing.dispute_ruling, billing.approval, billing.close_calendar, "
    "catalog.allocation_rule TO ordergate_billing, ordergate_reader",
    "GRANT INSERT ON billing.transfer, billing.dispute_ruling TO ordergate_billing",
    "GRANT SELECT, INSERT ON billing.dispute, billing.approval, billing.close_calendar, catalog.allocation_rule "
    "TO ordergate_gateway",
    "GRANT SELECT ON billing.dispute_ruling, billing.invoice TO ordergate_gateway",
    "GRANT SELECT (id, account_id, number) ON billing.credit_note TO ordergate_gateway",
)


def upgrade() -> None:
    """Create the tables of settlement."""
    for statement in (*_TABLES, _HOLD, *_RIGHTS):
        op.execute(statement)
