"""Credit comes back where a document that it paid is lowered.

Revision: 0024
"""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # What came back of a grant's part in paying a document. `restored_to` is the same grant, or, where its time was over,
    # the one that was made for it; a gift whose time was over lapsed, and what a provider's customer paid is owed in money.
    """
    CREATE TABLE billing.credit_restoration (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        grant_id text NOT NULL,
        invoice_id text NOT NULL,
        account_id text NOT NULL,
        amount numeric NOT NULL CHECK (amount > 0),
        became text NOT NULL CHECK (became IN ('credit', 'lapsed', 'owed')),
        restored_to text REFERENCES billing.credit_grant,
        restored_at timestamptz NOT NULL,
        FOREIGN KEY (grant_id, invoice_id) REFERENCES billing.credit_application,
        CHECK ((became = 'credit') = (restored_to IS NOT NULL))
    )
    """,
    "CREATE INDEX credit_restoration_grant ON billing.credit_restoration (grant_id, invoice_id)",
    "CREATE INDEX credit_restoration_invoice ON billing.credit_restoration (invoice_id)",
    "CALL catalog.append_only('billing.credit_restoration')",
    "CREATE TRIGGER never_emptied BEFORE TRUNCATE ON billing.credit_restoration "
    "FOR EACH STATEMENT EXECUTE FUNCTION catalog.refuse_change()",
    "CALL catalog.protect('billing.credit_restoration')",
    "GRANT SELECT ON billing.credit_restoration TO ordergate_gateway, ordergate_billing, ordergate_reader",
    "GRANT INSERT ON billing.credit_restoration TO ordergate_billing",
)


def upgrade() -> None:
    """Create the record of what came back."""
    for statement in _STATEMENTS:
        op.execute(statement)
