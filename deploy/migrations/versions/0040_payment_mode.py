"""In which of the provider's modes an account is known there: with real money, or with its play money.

Revision: 0040
"""

from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Keep the mode beside the customer's id; of those that were known before, the next collector says it."""
    op.execute("ALTER TABLE billing.payment_account ADD COLUMN livemode boolean")
