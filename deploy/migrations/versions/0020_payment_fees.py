"""What a payment provider keeps of a payment is a fact of the invoice's money.

Revision: 0020
"""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let facts have the new kind."""
    op.execute(
        "ALTER TABLE billing.settlement_entry DROP CONSTRAINT settlement_entry_kind_check, "
        "ADD CONSTRAINT settlement_entry_kind_check CHECK (kind IN ('payment', 'payment_fee', 'refund', 'refund_failed', "
        "'dispute_opened', 'dispute_fee', 'dispute_won', 'dispute_lost', 'voided'))"
    )
