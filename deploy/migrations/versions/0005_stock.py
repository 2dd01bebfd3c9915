"""Stock: levels, the movements that explain them, and the reservations that hold units for a while.

Revision: 0005
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # `available` is computed by the database, so `on_hand = available + reserved + quarantined` cannot be broken, and
    # its check makes overselling an error whatever the code does. Keys sort by code point: rows are locked in that
    # order everywhere. The fill factor leaves room for a hot row to be updated in its own page.
    """
    CREATE TABLE stock.level (
        account_id text NOT NULL REFERENCES catalog.account,
        environment text NOT NULL CHECK (environment IN ('live', 'test')),
        sku text COLLATE "C" NOT NULL,
        warehouse text COLLATE "C" NOT NULL,
        on_hand bigint NOT NULL DEFAULT 0 CHECK (on_hand >= 0),
        reserved bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0),
        quarantined bigint NOT NULL DEFAULT 0 CHECK (quarantined >= 0),
        available bigint NOT NULL GENERATED ALWAYS AS (on_hand - reserved - quarantined) STORED CHECK (available >= 0),
        PRIMARY KEY (account_id, environment, sku, warehouse)
    ) WITH (fillfactor = 70)
    """,
    # The sum of a key's movements is its level. An expiry is caused by time, everything else by a call.
    """
    CREATE TABLE stock.movement (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        account_id text NOT NULL,
        environment text NOT NULL CHECK (environment IN ('live', 'test')),
        sku text COLLATE "C" NOT NULL,
        warehouse text COLLATE "C" NOT NULL,
        kind text NOT NULL CHECK (kind IN ('adjust', 'reserve', 'confirm', 'release', 'expire')),
        on_hand_change bigint NOT NULL DEFAULT 0,
        reserved_change bigint NOT NULL DEFAULT 0,
        quarantined_change bigint NOT NULL DEFAULT 0,
        reason text,
        reservation_id text,
        call_id uuid,
        occurred_at timestamptz NOT NULL,
        CHECK ((kind = 'adjust') = (reason IS NOT NULL)),
        CHECK ((kind = 'adjust') = (reservation_id IS NULL)),
        CHECK ((kind = 'expire') = (call_id IS NULL))
    )
    """,
    # There is no state 'expired': a reservation has expired once `expires_at` has come, whether or not anybody wrote
    # that down. `requested` is what was asked for, to recognise the same request when it comes again.
    """
    CREATE TABLE stock.reservation (
        account_id text NOT NULL REFERENCES catalog.account,
        environment text NOT NULL CHECK (environment IN ('live', 'test')),
        reservation_id text NOT NULL,
        state text NOT NULL DEFAULT 'reserved' CHECK (state IN ('reserved', 'confirmed', 'released')),
        requested jsonb NOT NULL,
        partial boolean NOT NULL,
        reserved_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL CHECK (expires_at > reserved_at),
        PRIMARY KEY (account_id, environment, reservation_id)
    )
    """,
    # Units held for one line of a reservation in one warehouse. A row changes only under the lock of its level, so
    # the sum of the held rows is the level's `reserved` whenever the level is locked or the transaction has ended.
    """
    CREATE TABLE stock.reservation_line (
        account_id text NOT NULL,
        environment text NOT NULL,
        reservation_id text NOT NULL,
        position smallint NOT NULL CHECK (position >= 0),
        sku text COLLATE "C" NOT NULL,
        warehouse text COLLATE "C" NOT NULL,
        quantity bigint NOT NULL CHECK (quantity > 0),
        confirmed bigint NOT NULL DEFAULT 0 CHECK (confirmed BETWEEN 0 AND quantity),
        state text NOT NULL DEFAULT 'held' CHECK (state IN ('held', 'confirmed', 'released', 'expired')),
        expires_at timestamptz NOT NULL,
        PRIMARY KEY (account_id, environment, reservation_id, position, warehouse),
        FOREIGN KEY (account_id, environment, reservation_id) REFERENCES stock.reservation,
        FOREIGN KEY (account_id, environment, sku, warehouse) REFERENCES stock.level,
        CHECK ((state = 'confirmed') = (confirmed > 0))
    )
    """,
    """
    CREATE INDEX reservation_line_key ON stock.reservation_line (account_id, environment, sku, warehouse, expires_at)
    WHERE state = 'held'
    """,
    "CREATE INDEX reservation_line_due ON stock.reservation_line (expires_at) WHERE state = 'held'",
    "CALL catalog.append_only('stock.movement')",
    *(
        f"CALL catalog.protect('stock.{table}')"
        for table in ("level", "movement", "reservation", "reservation_line")
    ),
    "GRANT SELECT ON ALL TABLES IN SCHEMA stock TO ordergate_gateway, ordergate_reader",
    "GRANT INSERT ON ALL TABLES IN SCHEMA stock TO ordergate_gateway",
    "GRANT UPDATE (on_hand, reserved, quarantined) ON stock.level TO ordergate_gateway",
    "GRANT UPDATE (state, expires_at) ON stock.reservation TO ordergate_gateway",
    "GRANT UPDATE (state, confirmed, expires_at) ON stock.reservation_line TO ordergate_gateway",
)


def upgrade() -> None:
    """Create the tables of the stock service."""
    for statement in _STATEMENTS:
        op.execute(statement)
