"""A sandbox is judged by its own test calls, and its documents give the credits that a live one would.

Revision: 0026
"""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # A sandbox's time is its account's own, so that its months are judged one account at a time, on that account's calendar:
    # a table beside that of the live months, which are judged for all accounts together and are read by all.
    """
    CREATE TABLE billing.sandbox_judgement (
        account_id text NOT NULL,
        service text NOT NULL,
        objective text NOT NULL,
        period date NOT NULL,
        operation text,
        state text NOT NULL CHECK (state IN ('met', 'missed', 'unjudged')),
        credit_pct numeric NOT NULL CHECK (credit_pct BETWEEN 0 AND 100),
        maximum_credit_pct numeric NOT NULL CHECK (maximum_credit_pct BETWEEN 0 AND 100),
        evidence jsonb NOT NULL,
        judged_at timestamptz NOT NULL,
        PRIMARY KEY (account_id, service, objective, period)
    )
    """,
    "CALL catalog.append_only('billing.sandbox_judgement')",
    "CALL catalog.protect('billing.sandbox_judgement')",
    "GRANT SELECT ON billing.sandbox_judgement TO ordergate_gateway, ordergate_billing, ordergate_reader",
    "GRANT INSERT ON billing.sandbox_judgement TO ordergate_billing",
    # The calendar of a live credit names its judgement; a sandbox's credit is judged on its account's own.
    "ALTER TABLE billing.charge_line DROP CONSTRAINT charge_line_check, ADD CONSTRAINT charge_line_calendar_check "
    "CHECK ((timezone IS NOT NULL) = (kind = 'credit' AND environment = 'live'))",
)


def upgrade() -> None:
    """Create the table, and let credits stand in the sandbox's books."""
    for statement in _STATEMENTS:
        op.execute(statement)
