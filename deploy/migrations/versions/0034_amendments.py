"""A usage row may amend an earlier one: more units of it, or fewer.

Revision: 0034
"""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

_STATEMENTS = (
    "SET LOCAL statement_timeout = 0",
    # An amending row copies the keys of the row that it names; alone among usage rows it may take units away.
    "ALTER TABLE billing.usage_event ADD COLUMN amends uuid",
    "ALTER TABLE billing.usage_event DROP CONSTRAINT usage_event_recorded_by_check, DROP CONSTRAINT usage_event_units_check, "
    "ADD CONSTRAINT usage_event_recorded_by_check "
    "CHECK (recorded_by IN ('journal', 'transaction', 'import', 'amendment') AND (recorded_by = 'amendment') = (amends IS NOT NULL)), "
    "ADD CONSTRAINT usage_event_units_check CHECK (units >= 0 OR amends IS NOT NULL)",
    "CREATE INDEX usage_event_amends ON billing.usage_event (amends) WHERE amends IS NOT NULL",
)


def upgrade() -> None:
    """Add the column, its checks and its index."""
    for statement in _STATEMENTS:
        op.execute(statement)
