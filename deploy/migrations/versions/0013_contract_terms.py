"""What an account's contract adds to its bill: terms, tax rates, and the charges that no call carries.

Revision: 0013
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_TERMS = (
    # In force from a day on until the next row; the last revision of a day counts. Service '' is the whole account.
    """
    CREATE TABLE catalog.account_terms (
        id text PRIMARY KEY,
        account_id text NOT NULL REFERENCES catalog.account,
        service text NOT NULL,
        starts_on date NOT NULL,
        revision integer NOT NULL CHECK (revision > 0),
        access_fee numeric NOT NULL CHECK (access_fee >= 0),
        discount_pct numeric NOT NULL CHECK (discount_pct BETWEEN 0 AND 100),
        minimum numeric NOT NULL CHECK (minimum >= 0),
        committed_spend numeric NOT NULL CHECK (committed_spend >= 0),
        committed_months integer NOT NULL CHECK (committed_months BETWEEN 0 AND 120),
        set_at timestamptz NOT NULL,
        set_by text NOT NULL,
        CHECK ((committed_spend > 0) = (committed_months > 0)),
        UNIQUE (account_id, service, starts_on, revision)
    )
    """,
    # Public law and not an account's: what a region asks for on a service ('' for all that have no rate of their own).
    """
    CREATE TABLE catalog.tax_rate (
        region text NOT NULL CHECK (region ~ '^[A-Z]{2}$'),
        service text NOT NULL,
        starts_on date NOT NULL CHECK (extract(day FROM starts_on) = 1),
        revision integer NOT NULL CHECK (revision > 0),
        name text NOT NULL,
        rate_pct numeric NOT NULL CHECK (rate_pct BETWEEN 0 AND 100),
        set_at timestamptz NOT NULL,
        set_by text NOT NULL,
        PRIMARY KEY (region, service, starts_on, revision)
    )
    """,
    *(f"CALL catalog.append_only('catalog.{table}')" for table in ("account_terms", "tax_rate")),
    "CALL catalog.protect('catalog.account_terms')",
    "GRANT SELECT ON catalog.account_terms, catalog.tax_rate TO ordergate_gateway, ordergate_billing, ordergate_reader",
    "GRANT INSERT ON catalog.account_terms, catalog.tax_rate TO ordergate_gateway",
)

# Steps follow each other as those of a rated line do: `amount` is due now minus booked before, as the document shows
# it, so that a credit and a discount are negative. `name` is the objective of a credit and the group of a tax.
_CHARGES = (
    """
    CREATE TABLE billing.charge_line (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        account_id text NOT NULL,
        environment text NOT NULL CHECK (environment IN ('live', 'test')),
        kind text NOT NULL CHECK (kind IN ('fee', 'discount', 'top_up', 'true_up', 'credit', 'tax')),
        service text NOT NULL,
        name text NOT NULL,
        period date NOT NULL,
        timezone text CHECK ((timezone IS NOT NULL) = (kind = 'credit')),
        step integer NOT NULL CHECK (step > 0),
        currency text NOT NULL,
        base numeric NOT NULL,
        amount numeric NOT NULL CHECK (amount <> 0),
        amount_after numeric NOT NULL,
        detail jsonb NOT NULL,
        invoice_id text NOT NULL REFERENCES billing.invoice,
        booked_at timestamptz NOT NULL,
        UNIQUE (account_id, environment, period, kind, service, name, step),
        FOREIGN KEY (service, name, period, timezone) REFERENCES billing.sla_judgement
    )
    """,
    """
    INSERT INTO billing.charge_line (id, account_id, environment, kind, service, name, period, timezone, step, currency,
        base, amount, amount_after, detail, invoice_id, booked_at) OVERRIDING SYSTEM VALUE
    SELECT id, account_id, environment, 'credit', service, objective, period, timezone, step, currency,
           charges, -amount, -amount_after, jsonb_build_object('delivered_by', delivered_by), invoice_id, booked_at
      FROM billing.credit_line
    """,
    "SELECT setval(pg_get_serial_sequence('billing.charge_line', 'id'), coalesce(max(id), 0) + 1, false) FROM billing.charge_line",
    "DROP TABLE billing.credit_line",
    "CREATE INDEX charge_line_invoice ON billing.charge_line (invoice_id)",
    "CREATE TRIGGER never_emptied BEFORE TRUNCATE ON billing.charge_line "
    "FOR EACH STATEMENT EXECUTE FUNCTION catalog.refuse_change()",
    "CALL catalog.append_only('billing.charge_line')",
    "CALL catalog.protect('billing.charge_line')",
    "GRANT SELECT ON billing.charge_line TO ordergate_billing, ordergate_reader",
    "GRANT INSERT ON billing.charge_line TO ordergate_billing",
    # `terms` are frozen on issue, so that what comes late is settled by them; `held` says why a draft waits for a person.
    "ALTER TABLE billing.invoice ADD COLUMN terms jsonb NOT NULL DEFAULT '{}', ADD COLUMN held text NOT NULL DEFAULT ''",
)

# A close adds lines and postings by the dozen: the same checks once a statement instead of once a row. Postings are
# added a whole transaction at a time, so what a statement adds must balance by itself. What they refer to is never
# deleted, so that it is there when they are added is all that a foreign key would watch, at a row lock for each row.
_CHECKS = (
    """
    CREATE FUNCTION billing.check_added_balance() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        unbalanced bigint;
    BEGIN
        SELECT transaction_id INTO unbalanced FROM added GROUP BY transaction_id, currency HAVING sum(amount) <> 0 LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'ledger transaction % does not sum to zero', unbalanced USING ERRCODE = 'check_violation';
        END IF;
        SELECT transaction_id INTO unbalanced FROM added
         WHERE NOT EXISTS (SELECT FROM billing.ledger_transaction WHERE id = added.transaction_id) LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'there is no ledger transaction %', unbalanced USING ERRCODE = 'foreign_key_violation';
        END IF;
        RETURN NULL;
    END $$
    """,
    "DROP TRIGGER balanced ON billing.posting",
    "DROP FUNCTION billing.check_balance",
    "CREATE TRIGGER balanced AFTER INSERT ON billing.posting REFERENCING NEW TABLE AS added "
    "FOR EACH STATEMENT EXECUTE FUNCTION billing.check_added_balance()",
    """
    CREATE FUNCTION billing.added_to_drafts() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        document text;
    BEGIN
        SELECT added.invoice_id INTO document
          FROM (SELECT DISTINCT invoice_id FROM added) AS added
         WHERE NOT EXISTS (SELECT FROM billing.invoice WHERE id = added.invoice_id AND state = 'draft') LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'document % is not a draft', document USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NULL;
    END $$
    """,
    *(f"DROP TRIGGER needs_draft ON billing.{table}" for table in ("rated_line", "invoice_line")),
    "DROP FUNCTION billing.needs_draft",
    "ALTER TABLE billing.posting DROP CONSTRAINT posting_transaction_id_fkey",
    *(
        f"ALTER TABLE billing.{table} DROP CONSTRAINT {table}_invoice_id_fkey"
        for table in ("rated_line", "invoice_line")
    ),
    *(
        f"CREATE TRIGGER needs_draft AFTER INSERT ON billing.{table} REFERENCING NEW TABLE AS added "
        "FOR EACH STATEMENT EXECUTE FUNCTION billing.added_to_drafts()"
        for table in ("rated_line", "invoice_line", "charge_line")
    ),
)


def upgrade() -> None:
    """Create the terms, and turn credits into one kind of the charges that no call carries."""
    for statement in (*_TERMS, *_CHARGES, *_CHECKS):
        op.execute(statement)
