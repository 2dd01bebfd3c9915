"""A price begins at midnight on the payer's own calendar; a subscription may keep the prices that it was sold at.

Revision: 0015
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # A version begins at the start of `effective_on` on the payer's calendar, never before `effective_from`. Versions from
    # before this have none and begin at the instant that they were published with: what was priced stays as it is.
    "ALTER TABLE catalog.price_version ADD COLUMN effective_on date",
    # Later versions of the plan's prices do not concern it.
    "ALTER TABLE catalog.subscription ADD COLUMN prices_as_of timestamptz",
)


def upgrade() -> None:
    """Add both columns."""
    for statement in _STATEMENTS:
        op.execute(statement)
