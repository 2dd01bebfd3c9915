"""A sandbox's own clock: when its calls occur and its months end, whatever time it is.

Revision: 0016
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the clock. It never goes back: what the sandbox's books say has happened stays in the past."""
    op.execute("ALTER TABLE catalog.account ADD COLUMN test_clock timestamptz")
    op.execute("GRANT UPDATE (test_clock) ON catalog.account TO ordergate_gateway")
    op.execute(
        """
        CREATE FUNCTION catalog.keep_test_clock() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.test_clock IS NULL OR NEW.test_clock < OLD.test_clock THEN
                RAISE EXCEPTION 'a test clock never goes back' USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END $$
        """
    )
    op.execute(
        "CREATE TRIGGER keep_test_clock BEFORE UPDATE OF test_clock ON catalog.account "
        "FOR EACH ROW WHEN (OLD.test_clock IS NOT NULL) EXECUTE FUNCTION catalog.keep_test_clock()"
    )
