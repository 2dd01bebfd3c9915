"""Schemas and the row-level security that every table with an account gets.

Revision: 0001
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SCHEMAS = ("catalog", "gateway", "billing", "stock")


def upgrade() -> None:
    """The roles themselves are cluster-wide and exist before any migration: see deploy/roles.py."""
    for schema in _SCHEMAS:
        op.execute(f"CREATE SCHEMA {schema}")
        op.execute(
            f"GRANT USAGE ON SCHEMA {schema} TO ordergate_gateway, ordergate_billing, ordergate_reader"
        )
    # The scope of a transaction is one account, or '*' for work that is about all of them (shipping, closing,
    # sweeping). Unset means no row: the policy fails closed.
    op.execute(
        """
        CREATE FUNCTION catalog.in_scope(account_id text) RETURNS boolean
        LANGUAGE sql STABLE PARALLEL SAFE
        RETURN current_setting('ordergate.account', true) IN (account_id, '*')
        """
    )
    op.execute(
        """
        CREATE PROCEDURE catalog.protect(target regclass) LANGUAGE plpgsql SET search_path = pg_catalog AS $$
        BEGIN
            EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
            EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
            EXECUTE format('CREATE POLICY account_scope ON %s USING (catalog.in_scope(account_id))', target);
        END $$
        """
    )
    # Append-only by privilege first; the trigger also stops the owner's own mistakes.
    op.execute(
        """
        CREATE FUNCTION catalog.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '%.% only grows: correct it with a new row', TG_TABLE_SCHEMA, TG_TABLE_NAME
                USING ERRCODE = 'restrict_violation';
        END $$
        """
    )
    op.execute(
        """
        CREATE PROCEDURE catalog.append_only(target regclass) LANGUAGE plpgsql SET search_path = pg_catalog AS $$
        BEGIN
            EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON %s '
                           'FOR EACH ROW EXECUTE FUNCTION catalog.refuse_change()', target);
        END $$
        """
    )
