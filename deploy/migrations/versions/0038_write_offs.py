"""What is left of an invoice and no longer asked for is written off, and a write-off can be taken back.

Revision: 0038
"""

from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # As money that moves by bank: a person says so, on a day; the reference of a write-off is its reason.
    """
    ALTER TABLE billing.settlement_entry DROP CONSTRAINT settlement_entry_kind_check,
        DROP CONSTRAINT settlement_entry_recorded,
        ADD CONSTRAINT settlement_entry_kind_check CHECK (kind IN (
            'payment', 'payment_fee', 'refund', 'refund_failed', 'dispute_opened', 'dispute_fee', 'dispute_won',
            'dispute_lost', 'voided', 'bank_payment', 'bank_refund', 'written_off', 'written_back')),
        ADD CONSTRAINT settlement_entry_recorded CHECK (
            CASE WHEN kind IN ('bank_payment', 'bank_refund', 'written_off', 'written_back')
            THEN num_nulls(reference, moved_on, recorded_by, transaction_id) = 0 AND amount > 0
            ELSE num_nonnulls(reference, moved_on, recorded_by) = 0 END)
    """,
)


def upgrade() -> None:
    """Let facts have the new kinds."""
    op.execute("SET LOCAL statement_timeout = 0")
    for statement in _STATEMENTS:
        op.execute(statement)
