"""A database from before stock was shared, with reservations in it, is brought to this version and goes on working."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from catalog.vocabulary.clock import ManualClock
from deploy.database import Database
from deploy.migrate import migrate
from deploy.roles import GATEWAY
from tests.databases import DatabaseServer
from tests.older_databases import older_database
from tests.stock_calls import START, StockCalls, create_account, unexplained

_BEFORE = "0007"
_ROWS = """
    INSERT INTO stock.level (account_id, environment, sku, warehouse, on_hand, reserved, quarantined)
    VALUES ('acct_a', 'live', 'A', 'N', 12, 4, 2);
    INSERT INTO stock.movement (account_id, environment, sku, warehouse, kind, on_hand_change, quarantined_change,
                                reason, call_id, occurred_at)
    VALUES ('acct_a', 'live', 'A', 'N', 'adjust', 12, 2, 'receipt', gen_random_uuid(), '2026-11-02 07:00Z');
    INSERT INTO stock.movement (account_id, environment, sku, warehouse, kind, reserved_change, reservation_id, call_id,
                                occurred_at)
    VALUES ('acct_a', 'live', 'A', 'N', 'reserve', 4, 'old', gen_random_uuid(), '2026-11-02 07:30Z');
    INSERT INTO stock.reservation (account_id, environment, reservation_id, requested, partial, reserved_at, expires_at)
    VALUES ('acct_a', 'live', 'old', '[{"sku": "A", "quantity": 4, "warehouse": null}]', false,
            '2026-11-02 07:30Z', '2026-11-02 08:30Z');
    INSERT INTO stock.reservation_line (account_id, environment, reservation_id, position, sku, warehouse, quantity,
                                        expires_at)
    VALUES ('acct_a', 'live', 'old', 0, 'A', 'N', 4, '2026-11-02 08:30Z');
"""


@pytest.fixture
async def old(database_server: DatabaseServer) -> AsyncIterator[Database]:
    """A database with the schema of the version before, and stock in it."""
    async with older_database(database_server, "old_stock", _BEFORE) as database:
        admin = await asyncpg.connect(**database.admin())
        await create_account(admin, "acct_a")
        await admin.execute(_ROWS)
        await admin.close()
        yield database


async def test_reservations_of_the_version_before_are_found_confirmed_and_explained(old: Database) -> None:
    await migrate(old)
    admin = await asyncpg.connect(**old.admin())
    async with asyncpg.create_pool(**old.as_role(GATEWAY), min_size=1, max_size=1) as pool:
        call = StockCalls(pool, ManualClock(START))
        assert await unexplained(admin) == []
        (level,) = (await call("availability", skus=["A"])).levels
        assert (level.on_hand, level.reserved, level.quarantined, level.available) == (12, 4, 2, 6)
        same = {"reservation_id": "old", "lines": [{"sku": "A", "quantity": 4}], "ttl_s": 60}
        again = await call("reserve", **same)
        assert (again.state, again.owner, again.channel, again.sourcing) == ("reserved", None, None, None)
        assert (await call("confirm", reservation_id="old")).lines[0].confirmed == 4
        assert [one.kind for one in (await call("movements")).data] == ["confirm", "reserve", "adjust"]
        assert await unexplained(admin) == []
    await admin.close()
