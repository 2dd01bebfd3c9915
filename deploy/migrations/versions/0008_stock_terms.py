"""Stock in shared warehouses: channels granted to others, expected supplies, and the owner's rules.

Revision: 0008
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_OWNED = """
        account_id text NOT NULL REFERENCES catalog.account,
        environment text NOT NULL CHECK (environment IN ('live', 'test')),
"""

_TABLES = (
    # A channel lends a part of the owner's stock to one account. `sold` are the units that were confirmed under it:
    # they and what is held now stay within the quota. The grantee is no foreign key, so that nobody can try out ids.
    f"""
    CREATE TABLE stock.channel (
        {_OWNED}
        channel text COLLATE "C" NOT NULL,
        grantee_id text NOT NULL,
        warehouse text COLLATE "C",
        sku_pattern text COLLATE "C" NOT NULL,
        quota bigint NOT NULL CHECK (quota >= 0),
        sold bigint NOT NULL DEFAULT 0 CHECK (sold >= 0),
        active boolean NOT NULL DEFAULT true,
        PRIMARY KEY (account_id, environment, channel)
    )
    """,
    "CREATE INDEX channel_grantee ON stock.channel (grantee_id, environment)",
    # What an owner wants done with its stock; an account without a row has the defaults.
    f"""
    CREATE TABLE stock.policy (
        {_OWNED}
        sourcing text NOT NULL CHECK (sourcing IN ('single_warehouse', 'fewest_splits', 'priority')),
        priority text[] NOT NULL,
        promises_safety_stock boolean NOT NULL,
        holds_orders boolean NOT NULL,
        hold_days integer NOT NULL CHECK (hold_days BETWEEN 0 AND 365),
        PRIMARY KEY (account_id, environment)
    )
    """,
    # Units that are on their way. `open` is what is still to come of them.
    f"""
    CREATE TABLE stock.supply (
        {_OWNED}
        reference text COLLATE "C" NOT NULL,
        sku text COLLATE "C" NOT NULL,
        warehouse text COLLATE "C" NOT NULL,
        expected_on date NOT NULL,
        quantity bigint NOT NULL CHECK (quantity >= 0),
        received bigint NOT NULL DEFAULT 0 CHECK (received >= 0),
        open bigint NOT NULL GENERATED ALWAYS AS (greatest(quantity - received, 0)) STORED,
        PRIMARY KEY (account_id, environment, sku, warehouse, reference),
        FOREIGN KEY (account_id, environment, sku, warehouse) REFERENCES stock.level
    )
    """,
    f"""
    CREATE TABLE stock.replenishment_rule (
        {_OWNED}
        sku text COLLATE "C" NOT NULL,
        warehouse text COLLATE "C" NOT NULL,
        minimum bigint NOT NULL CHECK (minimum >= 0),
        maximum bigint NOT NULL,
        pack_size bigint NOT NULL CHECK (pack_size > 0),
        minimum_order bigint NOT NULL CHECK (minimum_order > 0),
        lead_time_days integer NOT NULL CHECK (lead_time_days BETWEEN 0 AND 365),
        PRIMARY KEY (account_id, environment, sku, warehouse),
        FOREIGN KEY (account_id, environment, sku, warehouse) REFERENCES stock.level,
        CHECK (maximum - minimum >= ((minimum_order + pack_size - 1) / pack_size) * pack_size)
    )
    """,
    # Who changed which rule, channel or supply, and when: `document` is what was sent.
    f"""
    CREATE TABLE stock.rule_change (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        {_OWNED}
        call_id uuid NOT NULL,
        application_id text NOT NULL,
        occurred_at timestamptz NOT NULL,
        document jsonb NOT NULL
    )
    """,
    "CREATE INDEX rule_change_account ON stock.rule_change (account_id, environment, id)",
)

_COLUMNS = (
    "ALTER TABLE stock.level ADD COLUMN safety_stock bigint NOT NULL DEFAULT 0 CHECK (safety_stock >= 0)",
    # Whose stock a reservation holds, and under which channel. Until now it was always the caller's own.
    "ALTER TABLE stock.reservation ADD COLUMN owner_id text, ADD COLUMN channel text, ADD COLUMN sourcing jsonb",
    "UPDATE stock.reservation SET owner_id = account_id",
    "ALTER TABLE stock.reservation ALTER COLUMN owner_id SET NOT NULL",
    """
    ALTER TABLE stock.reservation_line
        ADD COLUMN owner_id text, ADD COLUMN channel text,
        DROP CONSTRAINT reservation_line_account_id_environment_sku_warehouse_fkey
    """,
    "UPDATE stock.reservation_line SET owner_id = account_id",
    """
    ALTER TABLE stock.reservation_line
        ALTER COLUMN owner_id SET NOT NULL,
        ADD FOREIGN KEY (owner_id, environment, sku, warehouse) REFERENCES stock.level,
        ADD CHECK (owner_id = account_id OR channel IS NOT NULL)
    """,
    "DROP INDEX stock.reservation_line_key",
    """
    CREATE INDEX reservation_line_key ON stock.reservation_line (owner_id, environment, sku, warehouse, expires_at)
    WHERE state = 'held'
    """,
    """
    CREATE INDEX reservation_line_channel ON stock.reservation_line (owner_id, environment, channel)
    WHERE state = 'held' AND channel IS NOT NULL
    """,
    # The account that moved an owner's units under a channel; null where the owner did.
    "ALTER TABLE stock.movement ADD COLUMN party_id text, ADD COLUMN channel text",
    "CREATE INDEX movement_account ON stock.movement (account_id, environment, id)",
    "CREATE INDEX movement_key ON stock.movement (account_id, environment, sku, warehouse, id)",
)

_POLICIES = (
    """
    CREATE FUNCTION stock.covers(pattern text, sku text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN right(pattern, 1) = '*' THEN starts_with(sku, left(pattern, -1)) ELSE sku = pattern END
    """,
    # Whether the transaction's account was lent this key by its owner. It runs as the caller, who sees of the
    # channels only its own ones: a channel cannot be looked up through it.
    """
    CREATE FUNCTION stock.is_lent(owner_id text, of_environment text, of_sku text, of_warehouse text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN EXISTS (
        SELECT FROM stock.channel AS lent
        WHERE lent.account_id = owner_id AND lent.environment = of_environment AND lent.active
          AND lent.grantee_id = current_setting('ordergate.account', true)
          AND (lent.warehouse IS NULL OR lent.warehouse = of_warehouse) AND stock.covers(lent.sku_pattern, of_sku))
    """,
    # Whether it holds units of this key now. A channel that ends does not end what was reserved under it.
    """
    CREATE FUNCTION stock.is_held(by_owner text, of_environment text, of_sku text, of_warehouse text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN EXISTS (
        SELECT FROM stock.reservation_line AS line
        WHERE line.owner_id = by_owner AND line.environment = of_environment AND line.sku = of_sku
          AND line.warehouse = of_warehouse AND line.state = 'held'
          AND line.account_id = current_setting('ordergate.account', true))
    """,
    *(
        f"CALL catalog.protect('stock.{table}')"
        for table in ("channel", "policy", "supply", "replenishment_rule", "rule_change")
    ),
    """
    ALTER POLICY account_scope ON stock.channel
    USING (catalog.in_scope(account_id) OR catalog.in_scope(grantee_id))
    """,
    """
    ALTER POLICY account_scope ON stock.level
    USING (catalog.in_scope(account_id)
           OR stock.is_lent(account_id, environment, sku, warehouse)
           OR stock.is_held(account_id, environment, sku, warehouse))
    """,
    # Owners see who holds their stock; among each other, those who hold it see nothing.
    """
    ALTER POLICY account_scope ON stock.reservation_line
    USING (catalog.in_scope(account_id) OR catalog.in_scope(owner_id))
    """,
    """
    ALTER POLICY account_scope ON stock.movement
    USING (catalog.in_scope(account_id) OR catalog.in_scope(party_id))
    WITH CHECK (catalog.in_scope(account_id)
                OR catalog.in_scope(party_id)
                   AND (stock.is_lent(account_id, environment, sku, warehouse)
                        OR stock.is_held(account_id, environment, sku, warehouse)))
    """,
    """
    ALTER POLICY account_scope ON stock.supply
    USING (catalog.in_scope(account_id) OR stock.is_lent(account_id, environment, sku, warehouse))
    WITH CHECK (catalog.in_scope(account_id))
    """,
    """
    ALTER POLICY account_scope ON stock.policy
    USING (catalog.in_scope(account_id)
           OR EXISTS (SELECT FROM stock.channel
                      WHERE channel.account_id = policy.account_id AND channel.environment = policy.environment
                        AND channel.active AND channel.grantee_id = current_setting('ordergate.account', true)))
    WITH CHECK (catalog.in_scope(account_id))
    """,
)

# Row policies cannot compare a row with what it was, nor tell a new row from a changed one. What a grantee may change
# of a row that is the owner's: of a level the units that it reserves or takes, of a channel the count of what was sold.
_GUARDS = (
    """
    CREATE FUNCTION stock.refuse_change_of_lent() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'row-level security: only its owner changes this of %.%', TG_TABLE_SCHEMA, TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege';
    END $$
    """,
    """
    CREATE TRIGGER owner_changes BEFORE UPDATE ON stock.level FOR EACH ROW
    WHEN (NOT catalog.in_scope(OLD.account_id)
          AND (NEW.on_hand > OLD.on_hand OR NEW.quarantined <> OLD.quarantined OR NEW.safety_stock <> OLD.safety_stock))
    EXECUTE FUNCTION stock.refuse_change_of_lent()
    """,
    """
    CREATE TRIGGER owner_changes BEFORE UPDATE ON stock.channel FOR EACH ROW
    WHEN (NOT catalog.in_scope(OLD.account_id)
          AND (NEW.sold < OLD.sold OR NEW.quota <> OLD.quota OR NEW.active <> OLD.active
               OR NEW.warehouse IS DISTINCT FROM OLD.warehouse OR NEW.sku_pattern <> OLD.sku_pattern))
    EXECUTE FUNCTION stock.refuse_change_of_lent()
    """,
    """
    CREATE TRIGGER owner_adds BEFORE INSERT ON stock.level FOR EACH ROW
    WHEN (NOT catalog.in_scope(NEW.account_id)) EXECUTE FUNCTION stock.refuse_change_of_lent()
    """,
    """
    CREATE TRIGGER owner_adds BEFORE INSERT ON stock.channel FOR EACH ROW
    WHEN (NOT catalog.in_scope(NEW.account_id)) EXECUTE FUNCTION stock.refuse_change_of_lent()
    """,
)

_RIGHTS = (
    "CALL catalog.append_only('stock.rule_change')",
    "GRANT SELECT ON stock.channel, stock.policy, stock.supply, stock.replenishment_rule, stock.rule_change "
    "TO ordergate_gateway, ordergate_reader",
    "GRANT INSERT ON stock.channel, stock.policy, stock.supply, stock.replenishment_rule, stock.rule_change "
    "TO ordergate_gateway",
    "GRANT UPDATE (safety_stock) ON stock.level TO ordergate_gateway",
    "GRANT UPDATE (warehouse, sku_pattern, quota, sold, active) ON stock.channel TO ordergate_gateway",
    "GRANT UPDATE (sourcing, priority, promises_safety_stock, holds_orders, hold_days) ON stock.policy TO ordergate_gateway",
    "GRANT UPDATE (expected_on, quantity, received) ON stock.supply TO ordergate_gateway",
    "GRANT UPDATE (minimum, maximum, pack_size, minimum_order, lead_time_days) ON stock.replenishment_rule "
    "TO ordergate_gateway",
)


def upgrade() -> None:
    """Make room for stock that its owner shares, plans and holds back. Existing reservations are of own stock."""
    for statement in (*_TABLES, *_COLUMNS, *_POLICIES, *_GUARDS, *_RIGHTS):
        op.execute(statement)
