"""What a statement adds to the books is checked whole: its own transaction, its payer's currency, its own document.

Revision: 0019
"""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

# A ledger transaction is complete when the database transaction that adds it ends: nothing is added to it on another
# day, balanced or not. Rows from before this have no mark, and so are complete.
_COMPLETE = (
    "ALTER TABLE billing.ledger_transaction ADD COLUMN added_xid xid8",
    "ALTER TABLE billing.ledger_transaction ALTER COLUMN added_xid SET DEFAULT pg_current_xact_id()",
)
# The look-ups are by key. A plan is kept for as long as its session, and one that was made while a table was empty would
# read the whole of it again and again as it grows: hence no sequential scans in here.
_BALANCE = """
    CREATE OR REPLACE FUNCTION billing.check_added_balance() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
    DECLARE
        faulty bigint;
        payer text;
    BEGIN
        SELECT transaction_id INTO faulty FROM added GROUP BY transaction_id, currency HAVING sum(amount) <> 0 LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'ledger transaction % does not sum to zero', faulty USING ERRCODE = 'check_violation';
        END IF;
        SELECT transaction_id INTO faulty FROM (SELECT DISTINCT transaction_id FROM added) AS one
         WHERE (SELECT added_xid FROM billing.ledger_transaction WHERE id = one.transaction_id)
               IS DISTINCT FROM pg_current_xact_id() LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'there is no ledger transaction % that could still be added to', faulty
                USING ERRCODE = 'foreign_key_violation';
        END IF;
        SELECT account_id INTO payer FROM (SELECT DISTINCT account_id, currency FROM added) AS one
         WHERE (SELECT account.currency FROM catalog.account WHERE id = one.account_id) <> one.currency LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'the books of % are in another currency', payer USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$
"""
# The lock makes a line and the issue of its document wait for each other, for whoever holds no lock of the product's.
_ON_DRAFTS = """
    CREATE FUNCTION billing.{name}() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
    DECLARE
        one record;
    BEGIN
        FOR one IN SELECT DISTINCT invoice_id, {shared} FROM added LOOP
            PERFORM FROM billing.invoice AS document
              WHERE id = one.invoice_id AND state = 'draft' AND {matches} FOR SHARE;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'document % is not a draft that could have the line', one.invoice_id
                    USING ERRCODE = 'restrict_violation';
            END IF;
        END LOOP;
        RETURN NULL;
    END $$
"""


def _on_drafts(name: str, *shared: str) -> str:
    matches = " AND ".join(f"document.{column} = one.{column}" for column in shared)
    return _ON_DRAFTS.format(name=name, shared=", ".join(shared), matches=matches)


_LINES = (
    *(
        f"DROP TRIGGER needs_draft ON billing.{table}"
        for table in ("rated_line", "charge_line", "invoice_line")
    ),
    "DROP FUNCTION billing.added_to_drafts",
    _on_drafts("added_to_drafts", "account_id", "environment", "currency"),
    _on_drafts("frozen_on_drafts", "account_id", "currency"),
    *(
        f"CREATE TRIGGER needs_draft AFTER INSERT ON billing.{table} REFERENCING NEW TABLE AS added "
        f"FOR EACH STATEMENT EXECUTE FUNCTION billing.{function}()"
        for table, function in (
            ("rated_line", "added_to_drafts"),
            ("charge_line", "added_to_drafts"),
            ("invoice_line", "frozen_on_drafts"),
        )
    ),
)
# Its lines refer to a draft without a foreign key, so nobody may take it away.
_DOCUMENTS = (
    "CREATE TRIGGER never_deleted BEFORE DELETE ON billing.invoice "
    "FOR EACH ROW EXECUTE FUNCTION catalog.refuse_change()",
    *(
        f"ALTER TABLE billing.{table} ADD CONSTRAINT known_books CHECK (environment IN ('live', 'test'))"
        for table in ("ledger_transaction", "invoice", "rated_line")
    ),
)


def upgrade() -> None:
    """Check what is added, and that nothing is taken away."""
    for statement in (*_COMPLETE, _BALANCE, *_LINES, *_DOCUMENTS):
        op.execute(statement)
