"""What is sold and to whom: passports, price versions, accounts, subscriptions, outbox, audit.

Revision: 0002
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # Gateways refresh their copy from rows whose transaction is at or after the last snapshot's xmin:
    # unlike a sequence, that never misses a row that was numbered early and committed late.
    """
    CREATE FUNCTION catalog.stamp_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.changed_xid := pg_current_xact_id();
        PERFORM pg_notify('catalogue', TG_TABLE_NAME);
        RETURN NEW;
    END $$
    """,
    """
    CREATE TABLE catalog.account (
        id text PRIMARY KEY,
        name text NOT NULL UNIQUE,
        title jsonb NOT NULL,
        kind text NOT NULL CHECK (kind IN ('internal', 'external', 'platform')),
        currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
        timezone text NOT NULL,
        billing_profile jsonb,
        demo boolean NOT NULL DEFAULT false,
        created_at timestamptz NOT NULL,
        changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id()
    )
    """,
    "ALTER TABLE catalog.account ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE catalog.account FORCE ROW LEVEL SECURITY",
    "CREATE POLICY account_scope ON catalog.account USING (catalog.in_scope(id))",
    # The zone decides which month a call belongs to and the currency which price: neither can change under usage.
    """
    CREATE FUNCTION catalog.keep_account_terms() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF (NEW.id, NEW.kind, NEW.currency, NEW.timezone) IS DISTINCT FROM (OLD.id, OLD.kind, OLD.currency, OLD.timezone) THEN
            RAISE EXCEPTION 'kind, currency and time zone of an account are fixed' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END $$
    """,
    "CREATE TRIGGER keep_terms BEFORE UPDATE ON catalog.account FOR EACH ROW EXECUTE FUNCTION catalog.keep_account_terms()",
    """
    CREATE TABLE catalog.cost_centre (
        id text PRIMARY KEY,
        account_id text NOT NULL REFERENCES catalog.account,
        name text NOT NULL,
        UNIQUE (account_id, name)
    )
    """,
    """
    CREATE TABLE catalog.application (
        id text PRIMARY KEY,
        account_id text NOT NULL REFERENCES catalog.account,
        name text NOT NULL,
        cost_centre_id text REFERENCES catalog.cost_centre,
        created_at timestamptz NOT NULL,
        changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
        UNIQUE (account_id, name)
    )
    """,
    """
    CREATE TABLE catalog.subscription (
        id text PRIMARY KEY,
        account_id text NOT NULL REFERENCES catalog.account,
        service text NOT NULL,
        plan_id text NOT NULL,
        starts_at timestamptz NOT NULL,
        ends_at timestamptz CHECK (ends_at > starts_at),
        changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id()
    )
    """,
    "CREATE UNIQUE INDEX subscription_current ON catalog.subscription (account_id, service) WHERE ends_at IS NULL",
    # Public: what is on sale is visible to every caller, so these two have no account and no row policy.
    """
    CREATE TABLE catalog.passport (
        service text NOT NULL,
        revision integer NOT NULL CHECK (revision > 0),
        version text NOT NULL,
        document jsonb NOT NULL,
        interface_digest text NOT NULL,
        published_at timestamptz NOT NULL,
        published_by text NOT NULL,
        changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
        PRIMARY KEY (service, revision)
    )
    """,
    """
    CREATE TABLE catalog.price_version (
        id text PRIMARY KEY,
        service text NOT NULL,
        plan_id text NOT NULL,
        audience text NOT NULL CHECK (audience IN ('internal', 'external', 'both')),
        operation text NOT NULL,
        currency text NOT NULL,
        version integer NOT NULL CHECK (version > 0),
        effective_from timestamptz NOT NULL,
        billable_on text NOT NULL CHECK (billable_on IN ('success', 'accepted', 'outcome')),
        model text NOT NULL,
        price jsonb NOT NULL,
        published_at timestamptz NOT NULL,
        changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
        UNIQUE (plan_id, operation, currency, version)
    )
    """,
    "CALL catalog.append_only('catalog.passport')",
    "CALL catalog.append_only('catalog.price_version')",
    """
    CREATE TABLE catalog.outbox (
        id uuid PRIMARY KEY,
        account_id text NOT NULL,
        environment text NOT NULL CHECK (environment IN ('live', 'test')),
        kind text NOT NULL,
        payload jsonb NOT NULL,
        announced_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE catalog.audit (
        seq bigint PRIMARY KEY,
        at timestamptz NOT NULL,
        actor text NOT NULL,
        action text NOT NULL,
        object text NOT NULL,
        detail jsonb NOT NULL,
        previous bytea NOT NULL,
        hash bytea NOT NULL UNIQUE
    )
    """,
    "CALL catalog.append_only('catalog.audit')",
    *(
        f"CALL catalog.protect('catalog.{table}')"
        for table in ("cost_centre", "application", "subscription", "outbox")
    ),
    *(
        f"CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON catalog.{table} "
        "FOR EACH ROW EXECUTE FUNCTION catalog.stamp_change()"
        for table in ("account", "application", "subscription", "passport", "price_version")
    ),
    "GRANT SELECT ON ALL TABLES IN SCHEMA catalog TO ordergate_gateway, ordergate_billing, ordergate_reader",
    "GRANT INSERT ON ALL TABLES IN SCHEMA catalog TO ordergate_gateway",
    "GRANT INSERT ON catalog.outbox, catalog.audit TO ordergate_billing",
    "GRANT UPDATE (name, title, billing_profile) ON catalog.account TO ordergate_gateway",
    "GRANT UPDATE (name, cost_centre_id) ON catalog.application TO ordergate_gateway",
    "GRANT UPDATE (ends_at) ON catalog.subscription TO ordergate_gateway",
)


def upgrade() -> None:
    """Create the catalogue."""
    for statement in _STATEMENTS:
        op.execute(statement)
