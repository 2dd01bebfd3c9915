"""Who issues: the seller's details, as they are when a document is issued, stand on it for ever.

Revision: 0021
"""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # The house's own billing profile and no account's; the newest row holds. What the demo wrote leaves with it.
    """
    CREATE TABLE catalog.seller (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        profile jsonb NOT NULL,
        demo boolean NOT NULL DEFAULT false,
        set_at timestamptz NOT NULL,
        set_by text NOT NULL
    )
    """,
    "CALL catalog.append_only('catalog.seller')",
    "GRANT SELECT ON catalog.seller TO ordergate_gateway, ordergate_billing, ordergate_reader",
    "GRANT INSERT ON catalog.seller TO ordergate_gateway",
    # Null on what was issued before anybody had said who the seller is.
    "ALTER TABLE billing.invoice ADD COLUMN seller jsonb",
    "ALTER TABLE billing.credit_note ADD COLUMN seller jsonb",
    # A document names the credit notes that correct it, whoever reads it.
    "GRANT SELECT ON billing.credit_note TO ordergate_gateway",
)


def upgrade() -> None:
    """Keep the seller, and let documents carry it."""
    for statement in _STATEMENTS:
        op.execute(statement)
