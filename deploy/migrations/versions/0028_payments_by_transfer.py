"""An invoice carries its due day, and money that moves outside the payment provider is recorded against it.

Revision: 0028
"""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

# What was issued before said its seller's payment days, of which an absent figure means thirty; where nobody had said who
# sells, what was agreed with the payer is all there is.
_DUE = (
    "ALTER TABLE billing.invoice ADD COLUMN due_on date",
    "ALTER TABLE billing.invoice DISABLE TRIGGER keep_issued",
    """
    UPDATE billing.invoice SET due_on = (issued_at AT TIME ZONE account.timezone)::date + CASE
               WHEN seller IS NOT NULL THEN coalesce((seller ->> 'payment_days')::integer, 30)
               ELSE (SELECT terms_days FROM billing.payment_account AS agreed WHERE agreed.account_id = account.id) END
      FROM catalog.account WHERE account.id = invoice.account_id AND invoice.kind = 'invoice' AND state = 'issued'
    """,
    "ALTER TABLE billing.invoice ENABLE TRIGGER keep_issued",
    "ALTER TABLE billing.invoice ADD CONSTRAINT only_invoices_are_due CHECK (due_on IS NULL OR kind = 'invoice')",
    "CREATE INDEX invoice_due ON billing.invoice (due_on) WHERE due_on IS NOT NULL AND environment = 'live'",
    # Null: the seller's payment days hold.
    "ALTER TABLE billing.payment_account ALTER COLUMN terms_days DROP NOT NULL",
    # Nobody is reminded of what was issued, and paid past these books, before payments by transfer could be recorded in them.
    "ALTER TABLE billing.payment_account ADD COLUMN reminded_since timestamptz NOT NULL DEFAULT now()",
    "ALTER TABLE billing.payment_account ALTER COLUMN reminded_since SET DEFAULT '-infinity'",
)
# A fact that no provider tells has a person who says so, and the reference under which the bank's statement has it.
_FACTS = (
    "ALTER TABLE billing.settlement_entry ADD COLUMN reference text, ADD COLUMN moved_on date, ADD COLUMN recorded_by text",
    """
    ALTER TABLE billing.settlement_entry DROP CONSTRAINT settlement_entry_kind_check,
        ADD CONSTRAINT settlement_entry_kind_check CHECK (kind IN (
            'payment', 'payment_fee', 'refund', 'refund_failed', 'dispute_opened', 'dispute_fee', 'dispute_won',
            'dispute_lost', 'voided', 'bank_payment', 'bank_refund')),
        ADD CONSTRAINT settlement_entry_recorded CHECK (CASE WHEN kind IN ('bank_payment', 'bank_refund')
            THEN num_nulls(reference, moved_on, recorded_by, transaction_id) = 0 AND amount > 0
            ELSE num_nonnulls(reference, moved_on, recorded_by) = 0 END)
    """,
    "CREATE UNIQUE INDEX settlement_entry_reference ON billing.settlement_entry (invoice_id, kind, reference) "
    "WHERE reference IS NOT NULL",
)


def upgrade() -> None:
    """Write the due days down, and let facts have the new kinds."""
    op.execute("SET LOCAL statement_timeout = 0")
    for statement in (*_DUE, *_FACTS):
        op.execute(statement)
