"""Collecting what was invoiced: credit notes, the payment provider's outbox and inbox, settlement, reminders.

Revision: 0007
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # A credit note is a document of its own: it names the invoice that it corrects and what caused it, once.
    """
    CREATE TABLE billing.credit_note (
        id text PRIMARY KEY,
        account_id text NOT NULL REFERENCES catalog.account,
        environment text NOT NULL CHECK (environment IN ('live', 'test')),
        invoice_id text NOT NULL REFERENCES billing.invoice,
        number text NOT NULL UNIQUE,
        reason text NOT NULL CHECK (reason IN ('correction', 'sla_credit', 'void', 'dispute_lost')),
        source text NOT NULL UNIQUE,
        currency text NOT NULL,
        total numeric NOT NULL CHECK (total > 0),
        recipient jsonb NOT NULL,
        issued_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX credit_note_invoice ON billing.credit_note (invoice_id)",
    """
    CREATE TABLE billing.credit_note_line (
        credit_note_id text NOT NULL REFERENCES billing.credit_note,
        account_id text NOT NULL,
        position integer NOT NULL CHECK (position > 0),
        service text NOT NULL,
        description text NOT NULL,
        amount numeric NOT NULL CHECK (amount > 0),
        PRIMARY KEY (credit_note_id, position)
    )
    """,
    # Whose documents are collected by a provider, on which terms. No row: billing is settled outside.
    """
    CREATE TABLE billing.payment_account (
        account_id text PRIMARY KEY REFERENCES catalog.account,
        enabled boolean NOT NULL,
        terms_days integer NOT NULL CHECK (terms_days BETWEEN 1 AND 365),
        reminder_days integer[] NOT NULL,
        customer_id text UNIQUE,
        changed_at timestamptz NOT NULL
    )
    """,
    # The outbox. `held` waits for a person; `due_at` is the next attempt, and while one runs the end of its lease.
    """
    CREATE TABLE billing.payment_task (
        id uuid PRIMARY KEY,
        account_id text NOT NULL REFERENCES billing.payment_account,
        kind text NOT NULL CHECK (kind IN ('invoice', 'credit_note')),
        document_id text NOT NULL,
        state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'held')),
        attempts integer NOT NULL DEFAULT 0,
        generation integer NOT NULL DEFAULT 1,
        due_at timestamptz NOT NULL,
        reason text NOT NULL DEFAULT '',
        provider_id text UNIQUE,
        created_at timestamptz NOT NULL,
        finished_at timestamptz,
        UNIQUE (kind, document_id),
        CHECK ((state = 'waiting') = (finished_at IS NULL)),
        CHECK (state <> 'done' OR provider_id IS NOT NULL),
        CHECK (state <> 'held' OR reason <> '')
    )
    """,
    "CREATE INDEX payment_task_waiting ON billing.payment_task (account_id, id) WHERE state = 'waiting'",
    # The inbox: which object changed, never what it says; its present state is asked for when the event is taken.
    """
    CREATE TABLE billing.webhook_event (
        id text PRIMARY KEY,
        type text NOT NULL,
        object text NOT NULL,
        invoice text,
        payment_intent text,
        created_at timestamptz NOT NULL,
        received_at timestamptz NOT NULL,
        state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'held')),
        attempts integer NOT NULL DEFAULT 0,
        due_at timestamptz NOT NULL,
        reason text NOT NULL DEFAULT ''
    )
    """,
    "CREATE INDEX webhook_event_waiting ON billing.webhook_event (due_at) WHERE state = 'waiting'",
    # What happened to an invoice's money, each fact once by the provider's own id.
    """
    CREATE TABLE billing.settlement_entry (
        kind text NOT NULL CHECK (kind IN ('payment', 'refund', 'refund_failed', 'dispute_opened', 'dispute_fee',
                                           'dispute_won', 'dispute_lost', 'voided')),
        source text NOT NULL,
        invoice_id text NOT NULL REFERENCES billing.invoice,
        account_id text NOT NULL,
        currency text NOT NULL,
        amount numeric NOT NULL,
        transaction_id bigint REFERENCES billing.ledger_transaction,
        recorded_at timestamptz NOT NULL,
        PRIMARY KEY (kind, source)
    )
    """,
    "CREATE INDEX settlement_entry_invoice ON billing.settlement_entry (invoice_id)",
    """
    CREATE TABLE billing.reminder (
        invoice_id text NOT NULL REFERENCES billing.invoice,
        stage integer NOT NULL CHECK (stage > 0),
        account_id text NOT NULL,
        announced_at timestamptz NOT NULL,
        PRIMARY KEY (invoice_id, stage)
    )
    """,
    *(
        f"CALL catalog.append_only('billing.{table}')"
        for table in ("credit_note", "credit_note_line", "settlement_entry", "reminder")
    ),
    *(
        f"CREATE TRIGGER never_emptied BEFORE TRUNCATE ON billing.{table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION catalog.refuse_change()"
        for table in ("credit_note", "credit_note_line", "settlement_entry")
    ),
    *(
        f"CALL catalog.protect('billing.{table}')"
        for table in (
            "credit_note",
            "credit_note_line",
            "payment_account",
            "payment_task",
            "settlement_entry",
            "reminder",
        )
    ),
    "GRANT SELECT, INSERT ON billing.credit_note, billing.credit_note_line, billing.payment_account, billing.payment_task, "
    "billing.webhook_event, billing.settlement_entry, billing.reminder TO ordergate_billing",
    "GRANT UPDATE ON billing.payment_account, billing.payment_task, billing.webhook_event TO ordergate_billing",
    "GRANT SELECT ON billing.credit_note, billing.credit_note_line, billing.payment_account, billing.payment_task, "
    "billing.settlement_entry, billing.reminder TO ordergate_reader",
    # The webhook is taken in by the gateway; ON CONFLICT has to read the key.
    "GRANT INSERT, SELECT (id) ON billing.webhook_event TO ordergate_gateway",
)


def upgrade() -> None:
    """Create the tables of collection."""
    for statement in _STATEMENTS:
        op.execute(statement)
