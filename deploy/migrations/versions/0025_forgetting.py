"""What nobody needs any more may be deleted by who owns it, and nothing else; rights and a column that nobody used go.

Revision: 0025
"""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_FORGETTING = (
    "GRANT DELETE ON gateway.sign_in_link, gateway.session TO ordergate_gateway",
    "GRANT DELETE ON billing.webhook_event, billing.allowance, billing.lease TO ordergate_billing",
    # What credit was used for is what the books are compared with; what is promised to a worker is not over.
    "CREATE TRIGGER never_forgotten BEFORE DELETE ON billing.allowance FOR EACH ROW "
    "WHEN (OLD.kind = 'credit' OR OLD.leased <> 0) EXECUTE FUNCTION catalog.refuse_change()",
    """
    CREATE FUNCTION billing.keep_lease() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        IF OLD.state = 'closed' AND EXISTS (
            SELECT FROM billing.allowance WHERE id = OLD.allowance_id AND kind <> 'credit') THEN
            RETURN OLD;
        END IF;
        RAISE EXCEPTION 'lease % is of credit, or not closed: it is kept', OLD.id USING ERRCODE = 'restrict_violation';
    END $$
    """,
    "CREATE TRIGGER never_forgotten BEFORE DELETE ON billing.lease FOR EACH ROW EXECUTE FUNCTION billing.keep_lease()",
    "CREATE INDEX allowance_period ON billing.allowance (starts_on) WHERE kind <> 'credit'",
)
_UNUSED = (
    # Its trigger needs no such right. Whoever has it can put the function on a table of their own and post with it.
    "REVOKE EXECUTE ON FUNCTION billing.hold_disputed FROM PUBLIC",
    "ALTER TABLE billing.usage_hour DROP COLUMN changed_xid",
)


def upgrade() -> None:
    """Give and take the rights."""
    for statement in (*_FORGETTING, *_UNUSED):
        op.execute(statement)
