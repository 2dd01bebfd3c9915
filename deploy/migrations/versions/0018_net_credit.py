"""An invoice never comes to less than nothing: what it owes its payer is credited on the invoices that it corrects.

Revision: 0018
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # What brings such a document to nothing, and the reason of the credit notes that say so to the payer.
    "ALTER TABLE billing.charge_line DROP CONSTRAINT charge_line_kind_check, ADD CONSTRAINT charge_line_kind_check "
    "CHECK (kind IN ('fee', 'discount', 'top_up', 'true_up', 'credit', 'tax', 'net_credit'))",
    "ALTER TABLE billing.credit_note DROP CONSTRAINT credit_note_reason_check, ADD CONSTRAINT credit_note_reason_check "
    "CHECK (reason IN ('correction', 'sla_credit', 'void', 'dispute_lost', 'net_credit'))",
    # Not of those that were issued before: an issued document never changes.
    "ALTER TABLE billing.invoice ADD CONSTRAINT invoice_not_negative "
    "CHECK (kind <> 'invoice' OR total >= 0) NOT VALID",
)


def upgrade() -> None:
    """Let charges and credit notes have the new kind, and refuse negative invoices."""
    for statement in _STATEMENTS:
        op.execute(statement)
