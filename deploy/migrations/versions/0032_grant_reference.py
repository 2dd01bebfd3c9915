"""A grant may carry the reference under which it was asked for, which asks for it once.

Revision: 0032
"""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the reference."""
    op.execute("ALTER TABLE billing.credit_grant ADD COLUMN reference text")
    op.execute(
        "CREATE UNIQUE INDEX credit_grant_reference ON billing.credit_grant (account_id, environment, reference) "
        "WHERE reference IS NOT NULL"
    )
