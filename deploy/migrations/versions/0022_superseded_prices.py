"""A publication supersedes what was scheduled before it and has not begun.

Revision: 0022
"""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # Versions of the same price that were published before and have not begun anywhere by then (their `effective_from` is
    # later) never begin. Nothing is changed or taken away: which of them was superseded, when and by which one, follows from
    # the rows. Versions from before this have none and superseded nothing: what was priced stays as it is.
    "ALTER TABLE catalog.price_version ADD COLUMN supersedes_after timestamptz",
)


def upgrade() -> None:
    """Add the column."""
    for statement in _STATEMENTS:
        op.execute(statement)
