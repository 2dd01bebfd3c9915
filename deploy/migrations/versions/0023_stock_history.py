"""Questions about the history of stock take as long as their answer, however much of it there is.

Revision: 0023
"""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # A page of an article's movements comes in the order of their ids, whatever the warehouse.
    "CREATE INDEX movement_sku ON stock.movement (account_id, environment, sku, id)",
    "DROP INDEX stock.movement_key",
    """
    CREATE INDEX movement_reservation ON stock.movement (account_id, environment, reservation_id, id)
    WHERE reservation_id IS NOT NULL
    """,
    # What a grantee did with one owner's stock.
    "CREATE INDEX movement_party ON stock.movement (party_id, account_id, environment, id) WHERE party_id IS NOT NULL",
    # Demand is what was confirmed of a level in the last days.
    """
    CREATE INDEX movement_sold ON stock.movement (account_id, environment, sku, warehouse, occurred_at)
    WHERE kind = 'confirm'
    """,
)


def upgrade() -> None:
    """Exchange the index by level for those that the questions are asked by."""
    for statement in _STATEMENTS:
        op.execute(statement)
