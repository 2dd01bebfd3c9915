"""One event's way: stored, rolled up, rated, posted, invoiced.

Revision: 0004
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # Partitioned by day of the event's UUIDv7, so that the id alone is unique over all days.
    """
    CREATE TABLE billing.usage_event (
        id uuid PRIMARY KEY,
        occurred_at timestamptz NOT NULL,
        environment text NOT NULL,
        account_id text NOT NULL,
        application_id text NOT NULL,
        key_id text NOT NULL,
        cost_centre_id text NOT NULL,
        subscription_id text NOT NULL,
        operation text NOT NULL,
        passport_version text NOT NULL,
        class text NOT NULL,
        outcome text NOT NULL,
        fault text NOT NULL,
        billable boolean NOT NULL,
        units numeric NOT NULL,
        price_version text NOT NULL,
        parent_call_id uuid,
        payer text NOT NULL,
        status smallint NOT NULL,
        latency_us bigint NOT NULL,
        recorded_by text NOT NULL,
        stored_at timestamptz NOT NULL DEFAULT now(),
        stored_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
        CHECK (environment IN ('live', 'test')),
        CHECK (class IN ('ok', 'declined', 'caller_error', 'provider_error')),
        CHECK (outcome IN ('success', 'business_refusal', 'failure')),
        CHECK (fault IN ('none', 'caller', 'provider', 'upstream')),
        CHECK (recorded_by IN ('journal', 'transaction', 'import')),
        CHECK (units >= 0)
    ) PARTITION BY RANGE (id)
    """,
    "CREATE INDEX usage_event_stored ON billing.usage_event (stored_xid)",
    "CREATE INDEX usage_event_account ON billing.usage_event (account_id, id)",
    "CALL catalog.protect('billing.usage_event')",
    # ATTACH takes a lighter lock than CREATE … PARTITION OF, so calls go on while tomorrow is prepared; the
    # check constraint saves the scan. Needs the owner's rights, hence SECURITY DEFINER with a pinned path.
    """
    CREATE FUNCTION billing.ensure_day(day date) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        name text := 'usage_event_' || to_char(day, 'YYYYMMDD');
        low uuid; high uuid;
    BEGIN
        IF to_regclass('billing.' || name) IS NOT NULL THEN RETURN; END IF;
        PERFORM pg_advisory_xact_lock(hashtext('billing.ensure_day'));
        IF to_regclass('billing.' || name) IS NOT NULL THEN RETURN; END IF;
        low := rpad(lpad(to_hex((extract(epoch FROM day::timestamp) * 1000)::bigint), 12, '0'), 32, '0')::uuid;
        high := rpad(lpad(to_hex((extract(epoch FROM (day + 1)::timestamp) * 1000)::bigint), 12, '0'), 32, '0')::uuid;
        EXECUTE format('CREATE TABLE billing.%I (LIKE billing.usage_event INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
        EXECUTE format('ALTER TABLE billing.%I ADD CONSTRAINT day_range CHECK (id >= %L AND id < %L)', name, low, high);
        EXECUTE format('CALL catalog.protect(%L)', 'billing.' || name);
        EXECUTE format('ALTER TABLE billing.usage_event ATTACH PARTITION billing.%I FOR VALUES FROM (%L) TO (%L)', name, low, high);
        EXECUTE format('ALTER TABLE billing.%I DROP CONSTRAINT day_range', name);
    END $$
    """,
    "REVOKE EXECUTE ON FUNCTION billing.ensure_day FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION billing.ensure_day TO ordergate_billing",
    """
    CREATE TABLE billing.ship_offset (
        journal_id uuid PRIMARY KEY,
        last_seq bigint NOT NULL CHECK (last_seq >= 0),
        chain bytea NOT NULL,
        shipped_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    # What the gateway turned away or replayed: counted for ever, billed never.
    """
    CREATE TABLE billing.refusal_count (
        account_id text NOT NULL,
        environment text NOT NULL,
        operation text NOT NULL,
        day date NOT NULL,
        reason text NOT NULL,
        calls bigint NOT NULL CHECK (calls > 0),
        PRIMARY KEY (account_id, environment, operation, day, reason)
    )
    """,
    # One row per step of the flow: everything stored by transactions below `xid` has been taken.
    "CREATE TABLE billing.watermark (step text PRIMARY KEY, xid xid8 NOT NULL)",
    "INSERT INTO billing.watermark VALUES ('rollup', '0')",
    # `hour` is the hour on the account's own clock, as an instant; `period` the month on that clock.
    """
    CREATE TABLE billing.usage_hour (
        account_id text NOT NULL,
        environment text NOT NULL,
        period date NOT NULL,
        hour timestamptz NOT NULL,
        subscription_id text NOT NULL,
        application_id text NOT NULL,
        cost_centre_id text NOT NULL,
        operation text NOT NULL,
        price_version text NOT NULL,
        class text NOT NULL,
        outcome text NOT NULL,
        fault text NOT NULL,
        calls bigint NOT NULL,
        billable_calls bigint NOT NULL,
        units numeric NOT NULL,
        latency_us_sum numeric NOT NULL,
        changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
        PRIMARY KEY (account_id, environment, period, hour, subscription_id, application_id, cost_centre_id,
                     operation, price_version, class, outcome, fault)
    )
    """,
    # Months whose usage moved since they were last rated. A mark is set with ON CONFLICT DO UPDATE in the transaction
    # that moves the usage, which locks it until that usage is visible: taking a mark never leaves usage behind.
    """
    CREATE TABLE billing.unrated (
        account_id text NOT NULL,
        environment text NOT NULL,
        period date NOT NULL,
        PRIMARY KEY (account_id, environment, period)
    )
    """,
    """
    CREATE TABLE billing.invoice (
        id text PRIMARY KEY,
        account_id text NOT NULL REFERENCES catalog.account,
        environment text NOT NULL,
        period date NOT NULL,
        kind text NOT NULL CHECK (kind IN ('statement', 'invoice')),
        currency text NOT NULL,
        state text NOT NULL CHECK (state IN ('draft', 'issued')),
        number text UNIQUE,
        total numeric,
        missing text[] NOT NULL DEFAULT '{}',
        recipient jsonb NOT NULL DEFAULT '{}',
        created_at timestamptz NOT NULL,
        issued_at timestamptz,
        UNIQUE (account_id, environment, period),
        CHECK ((state = 'issued') = (number IS NOT NULL AND total IS NOT NULL AND issued_at IS NOT NULL))
    )
    """,
    """
    CREATE TABLE billing.rated_line (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        account_id text NOT NULL,
        environment text NOT NULL,
        subscription_id text NOT NULL,
        operation text NOT NULL,
        price_version text NOT NULL,
        period date NOT NULL,
        step integer NOT NULL CHECK (step > 0),
        currency text NOT NULL,
        calls_before bigint NOT NULL,
        calls_after bigint NOT NULL,
        units_before numeric NOT NULL,
        units_after numeric NOT NULL,
        amount numeric NOT NULL,
        amount_after numeric NOT NULL,
        precise_after numeric NOT NULL,
        trace jsonb NOT NULL,
        split jsonb NOT NULL,
        corrects bigint REFERENCES billing.rated_line,
        invoice_id text NOT NULL REFERENCES billing.invoice,
        rated_at timestamptz NOT NULL,
        UNIQUE (account_id, environment, subscription_id, operation, price_version, period, step)
    )
    """,
    "CREATE INDEX rated_line_invoice ON billing.rated_line (invoice_id)",
    """
    CREATE TABLE billing.invoice_line (
        invoice_id text NOT NULL REFERENCES billing.invoice,
        account_id text NOT NULL,
        position integer NOT NULL CHECK (position > 0),
        operation text NOT NULL,
        price_version text NOT NULL,
        usage_period date NOT NULL,
        calls bigint NOT NULL,
        units numeric NOT NULL,
        currency text NOT NULL,
        amount numeric NOT NULL,
        precise numeric NOT NULL,
        trace jsonb NOT NULL,
        split jsonb NOT NULL,
        corrects boolean NOT NULL,
        PRIMARY KEY (invoice_id, position)
    )
    """,
    # An issued document never changes: not its head, not its lines, not what was rated onto it.
    """
    CREATE FUNCTION billing.keep_issued() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF OLD.state = 'issued' THEN
            RAISE EXCEPTION 'document % is issued: correct it on a later one', OLD.id USING ERRCODE = 'restrict_violation';
        END IF;
        IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
        IF (NEW.id, NEW.account_id, NEW.environment, NEW.period, NEW.kind, NEW.currency, NEW.created_at)
           IS DISTINCT FROM
           (OLD.id, OLD.account_id, OLD.environment, OLD.period, OLD.kind, OLD.currency, OLD.created_at) THEN
            RAISE EXCEPTION 'whose and which month a document is cannot change' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END $$
    """,
    """
    CREATE FUNCTION billing.needs_draft() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF (SELECT state FROM billing.invoice WHERE id = NEW.invoice_id) IS DISTINCT FROM 'draft' THEN
            RAISE EXCEPTION 'document % is not a draft', NEW.invoice_id USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END $$
    """,
    "CREATE TRIGGER keep_issued BEFORE UPDATE OR DELETE ON billing.invoice "
    "FOR EACH ROW EXECUTE FUNCTION billing.keep_issued()",
    *(
        f"CREATE TRIGGER needs_draft BEFORE INSERT ON billing.{table} "
        "FOR EACH ROW EXECUTE FUNCTION billing.needs_draft()"
        for table in ("rated_line", "invoice_line")
    ),
    # The row is locked by the transaction that issues, so a number that is not used is not taken.
    """
    CREATE TABLE billing.invoice_number (
        series text PRIMARY KEY,
        last integer NOT NULL CHECK (last >= 0)
    )
    """,
    """
    CREATE TABLE billing.ledger_transaction (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        environment text NOT NULL,
        kind text NOT NULL,
        source text NOT NULL,
        booked_at timestamptz NOT NULL,
        UNIQUE (kind, source)
    )
    """,
    """
    CREATE TABLE billing.posting (
        transaction_id bigint NOT NULL REFERENCES billing.ledger_transaction,
        position smallint NOT NULL,
        account_id text NOT NULL,
        ledger_account text NOT NULL,
        currency text NOT NULL,
        amount numeric NOT NULL CHECK (amount <> 0),
        PRIMARY KEY (transaction_id, position)
    )
    """,
    "CREATE INDEX posting_account ON billing.posting (account_id, ledger_account)",
    """
    CREATE FUNCTION billing.check_balance() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT FROM billing.posting WHERE transaction_id = NEW.transaction_id
                   GROUP BY currency HAVING sum(amount) <> 0) THEN
            RAISE EXCEPTION 'ledger transaction % does not sum to zero', NEW.transaction_id USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$
    """,
    "CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON billing.posting DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION billing.check_balance()",
    *(
        f"CALL catalog.append_only('billing.{table}')"
        for table in ("rated_line", "invoice_line", "ledger_transaction", "posting")
    ),
    # The append-only triggers watch rows; TRUNCATE has none.
    *(
        f"CREATE TRIGGER never_emptied BEFORE TRUNCATE ON billing.{table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION catalog.refuse_change()"
        for table in ("invoice", "rated_line", "invoice_line", "ledger_transaction", "posting")
    ),
    *(
        f"CALL catalog.protect('billing.{table}')"
        for table in (
            "refusal_count",
            "usage_hour",
            "unrated",
            "invoice",
            "rated_line",
            "invoice_line",
            "posting",
        )
    ),
    "GRANT SELECT ON ALL TABLES IN SCHEMA billing TO ordergate_billing, ordergate_reader",
    "GRANT INSERT ON ALL TABLES IN SCHEMA billing TO ordergate_billing",
    "GRANT UPDATE ON billing.ship_offset, billing.refusal_count, billing.watermark, billing.usage_hour, billing.unrated, "
    "billing.invoice, billing.invoice_number TO ordergate_billing",
    "GRANT DELETE ON billing.usage_hour, billing.unrated TO ordergate_billing",
    "GRANT INSERT ON billing.usage_event TO ordergate_gateway",
)


def upgrade() -> None:
    """Create the books."""
    for statement in _STATEMENTS:
        op.execute(statement)
