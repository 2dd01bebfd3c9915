"""Reported usage is corrected: which event corrects which, so that of two that correct the same one only the first counts.

Revision: 0037
"""

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # `event_id` is the usage row that was reported, `units_after` its whole quantity from then on. What is billed by it is
    # more or less by the amending row, where there is a difference to bill.
    """
    CREATE TABLE billing.correction (
        account_id text NOT NULL,
        environment text NOT NULL CHECK (environment IN ('live', 'test')),
        source text NOT NULL,
        id text NOT NULL,
        corrects_id text NOT NULL CHECK (corrects_id <> id),
        event_id uuid NOT NULL,
        units_after numeric NOT NULL CHECK (units_after >= 0),
        amendment_id uuid,
        corrected_by text NOT NULL,
        corrected_at timestamptz NOT NULL,
        PRIMARY KEY (account_id, environment, source, id),
        UNIQUE (account_id, environment, source, corrects_id),
        FOREIGN KEY (account_id, environment, source, id) REFERENCES billing.seen (account_id, environment, source, id),
        FOREIGN KEY (account_id, environment, source, corrects_id) REFERENCES billing.seen (account_id, environment, source, id)
    )
    """,
    "CREATE INDEX correction_event ON billing.correction (event_id)",
    "CALL catalog.protect('billing.correction')",
    "CALL catalog.append_only('billing.correction')",
    "CREATE TRIGGER never_emptied BEFORE TRUNCATE ON billing.correction "
    "FOR EACH STATEMENT EXECUTE FUNCTION catalog.refuse_change()",
    "GRANT SELECT, INSERT ON billing.correction TO ordergate_gateway",
    "GRANT SELECT ON billing.correction TO ordergate_billing, ordergate_reader",
)


def upgrade() -> None:
    """Create the chains of corrections."""
    for statement in _STATEMENTS:
        op.execute(statement)
