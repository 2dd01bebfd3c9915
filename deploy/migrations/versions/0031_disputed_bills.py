"""An accepted dispute takes off what the whole bill is less by.

Revision: 0031
"""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

_TABLES = (
    # What is held for a dispute from the moment on at which its document is issued: what would come off the bill with it.
    """
    CREATE TABLE billing.dispute_hold (
        dispute_id text PRIMARY KEY REFERENCES billing.dispute,
        account_id text NOT NULL REFERENCES catalog.account,
        amount numeric NOT NULL CHECK (amount >= 0),
        held_at timestamptz NOT NULL
    )
    """,
    # What an accepted dispute took off the bill of a month: so much of its lines (`line`), and what its terms and taxes
    # come to less, or more, by that. Disputes that were accepted before this have no rows: they took off the line alone.
    """
    CREATE TABLE billing.dispute_credit (
        dispute_id text NOT NULL REFERENCES billing.dispute,
        account_id text NOT NULL REFERENCES catalog.account,
        environment text NOT NULL CHECK (environment IN ('live', 'test')),
        period date NOT NULL CHECK (extract(day FROM period) = 1),
        kind text NOT NULL CHECK (kind IN ('line', 'fee', 'discount', 'top_up', 'true_up', 'tax')),
        service text NOT NULL,
        name text NOT NULL,
        amount numeric NOT NULL CHECK (amount <> 0),
        credited_at timestamptz NOT NULL,
        PRIMARY KEY (dispute_id, period, kind, service, name)
    )
    """,
    "CREATE INDEX dispute_credit_month ON billing.dispute_credit (account_id, environment, period)",
    # A credit note's line of another kind than `credited` is what the terms take back of the others: it may be negative.
    "ALTER TABLE billing.credit_note_line ADD COLUMN kind text NOT NULL DEFAULT 'credited' "
    "CHECK (kind IN ('credited', 'fee', 'discount', 'top_up', 'true_up', 'tax')), ADD COLUMN base numeric, "
    "DROP CONSTRAINT credit_note_line_amount_check, "
    "ADD CONSTRAINT credit_note_line_amount_check CHECK (amount > 0 OR amount < 0 AND kind <> 'credited')",
    # One that nothing comes off for has no credit note.
    "ALTER TABLE billing.dispute_ruling DROP CONSTRAINT dispute_ruling_check, "
    "ADD CONSTRAINT dispute_ruling_check CHECK (decision = 'accepted' OR credit_note_id IS NULL)",
)

# Until now the whole amount was held, when the dispute was opened or its document issued.
_HELD_BEFORE = """
    INSERT INTO billing.dispute_hold
    SELECT dispute.id, dispute.account_id, posting.amount, booked_at
    FROM billing.dispute
    JOIN billing.ledger_transaction ON kind = 'dispute_held' AND source = 'dispute:' || dispute.id
    JOIN billing.posting ON transaction_id = ledger_transaction.id AND ledger_account = 'disputed'
"""

# As before, the gateway can hold money by a dispute and write nothing else into the ledger.
_HOLD = """
    CREATE OR REPLACE FUNCTION billing.hold_disputed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        contested record;
        held bigint;
    BEGIN
        SELECT dispute.environment, dispute.currency, dispute.account_id, invoice.state, invoice.issued_at INTO contested
        FROM billing.dispute JOIN billing.invoice ON invoice.id = invoice_id WHERE dispute.id = NEW.dispute_id;
        IF contested.account_id IS DISTINCT FROM NEW.account_id OR contested.state <> 'issued' THEN
            RAISE EXCEPTION 'dispute % is not over an issued document in scope', NEW.dispute_id
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        IF NEW.amount > 0 THEN
            INSERT INTO billing.ledger_transaction (environment, kind, source, booked_at)
            VALUES (contested.environment, 'dispute_held', 'dispute:' || NEW.dispute_id, NEW.held_at) RETURNING id INTO held;
            INSERT INTO billing.posting (transaction_id, position, account_id, ledger_account, currency, amount)
            VALUES (held, 1, NEW.account_id, 'disputed', contested.currency, NEW.amount),
                   (held, 2, NEW.account_id, 'receivable', contested.currency, -NEW.amount);
        END IF;
        RETURN NULL;
    END $$
"""

_RIGHTS = (
    "DROP TRIGGER hold_disputed ON billing.dispute",
    "CREATE TRIGGER hold_disputed AFTER INSERT ON billing.dispute_hold "
    "FOR EACH ROW EXECUTE FUNCTION billing.hold_disputed()",
    *(
        statement
        for table in ("dispute_hold", "dispute_credit")
        for statement in (
            f"CALL catalog.append_only('billing.{table}')",
            f"CREATE TRIGGER never_emptied BEFORE TRUNCATE ON billing.{table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION catalog.refuse_change()",
            f"CALL catalog.protect('billing.{table}')",
            f"GRANT SELECT ON billing.{table} TO ordergate_gateway, ordergate_billing, ordergate_reader",
        )
    ),
    "GRANT INSERT ON billing.dispute_hold TO ordergate_gateway, ordergate_billing",
    "GRANT INSERT ON billing.dispute_credit TO ordergate_billing",
    # What comes off a bill is computed where a dispute is opened.
    "GRANT SELECT ON billing.rated_line, billing.charge_line TO ordergate_gateway",
)


def upgrade() -> None:
    """Create what disputes hold and take off."""
    op.execute("SET LOCAL ordergate.account = '*'")
    for statement in (*_TABLES, _HELD_BEFORE, _HOLD, *_RIGHTS):
        op.execute(statement)
