"""Usage that is reported from elsewhere: the names under which it came, unique for ever.

Revision: 0011
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_PARTITIONS = 16

_STATEMENTS = (
    # By hash and not by time: a name must be found however old it is.
    """
    CREATE TABLE billing.seen (
        account_id text NOT NULL,
        environment text NOT NULL CHECK (environment IN ('live', 'test')),
        source text NOT NULL,
        id text NOT NULL,
        content_hash bytea NOT NULL CHECK (length(content_hash) = 32),
        event_id uuid NOT NULL,
        PRIMARY KEY (account_id, environment, source, id)
    ) PARTITION BY HASH (account_id, environment, source, id)
    """,
    *(
        f"CREATE TABLE billing.seen_{number:02d} PARTITION OF billing.seen "
        f"FOR VALUES WITH (MODULUS {_PARTITIONS}, REMAINDER {number})"
        for number in range(_PARTITIONS)
    ),
    "CALL catalog.protect('billing.seen')",
    *(f"CALL catalog.protect('billing.seen_{number:02d}')" for number in range(_PARTITIONS)),
    "CALL catalog.append_only('billing.seen')",
    "GRANT SELECT, INSERT ON billing.seen TO ordergate_gateway, ordergate_billing",
    "GRANT SELECT ON billing.seen TO ordergate_reader",
    # Looks for the partition with a query: after the wait for the lock, to_regclass may still answer from before it.
    """
    CREATE OR REPLACE FUNCTION billing.ensure_day(day date) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        name text := 'usage_event_' || to_char(day, 'YYYYMMDD');
        low uuid; high uuid;
    BEGIN
        IF to_regclass('billing.' || name) IS NOT NULL THEN RETURN; END IF;
        PERFORM pg_advisory_xact_lock(hashtext('billing.ensure_day'));
        IF EXISTS (SELECT FROM pg_class WHERE relname = name AND relnamespace = 'billing'::regnamespace) THEN RETURN; END IF;
        low := rpad(lpad(to_hex((extract(epoch FROM day::timestamp) * 1000)::bigint), 12, '0'), 32, '0')::uuid;
        high := rpad(lpad(to_hex((extract(epoch FROM (day + 1)::timestamp) * 1000)::bigint), 12, '0'), 32, '0')::uuid;
        EXECUTE format('CREATE TABLE billing.%I (LIKE billing.usage_event INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
        EXECUTE format('ALTER TABLE billing.%I ADD CONSTRAINT day_range CHECK (id >= %L AND id < %L)', name, low, high);
        EXECUTE format('CALL catalog.protect(%L)', 'billing.' || name);
        EXECUTE format('ALTER TABLE billing.usage_event ATTACH PARTITION billing.%I FOR VALUES FROM (%L) TO (%L)', name, low, high);
        EXECUTE format('ALTER TABLE billing.%I DROP CONSTRAINT day_range', name);
    END $$
    """,
    # What is reported today may have happened on a day that no call was made on.
    "GRANT EXECUTE ON FUNCTION billing.ensure_day TO ordergate_gateway",
)


def upgrade() -> None:
    """Create the names."""
    for statement in _STATEMENTS:
        op.execute(statement)
