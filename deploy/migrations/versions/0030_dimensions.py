"""A call keeps the values by which a matrix prices it.

Revision: 0030
"""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # As the passport's meter names them, in its order: a combination that has no price of its own today may have one in a
    # draft. Hours do not know them; a matrix is rated from the single calls.
    "ALTER TABLE billing.usage_event ADD COLUMN dimension_names text[], ADD COLUMN dimension_values text[]",
)


def upgrade() -> None:
    """Add the columns."""
    for statement in _STATEMENTS:
        op.execute(statement)
