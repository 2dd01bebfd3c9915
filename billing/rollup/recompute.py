"""The hourly sums again from the usage rows alone, and how they differ from what is stored."""

from typing import Any

import asyncpg
import msgspec

from billing.rollup.usage_hour import GROUPED_USAGE, KEY, KEY_LIST, SUM_LIST, SUMS
from billing.transaction import Connection

_TABLE = "pg_temp.recomputed_usage_hour"
_CREATE = """
    CREATE TEMPORARY TABLE recomputed_usage_hour (LIKE billing.usage_hour INCLUDING INDEXES) ON COMMIT DROP
"""
_FILL = f"INSERT INTO {_TABLE} ({KEY_LIST}, {SUM_LIST}, changed_xid) SELECT *, '0' FROM ({GROUPED_USAGE}) AS grouped"  # noqa: S608
_COMPARE = f"""
    SELECT {KEY_LIST}, {", ".join(f"stored.{name} AS stored_{name}, recomputed.{name} AS recomputed_{name}" for name in SUMS)}
      FROM billing.usage_hour AS stored FULL JOIN {_TABLE} AS recomputed USING ({KEY_LIST})
     WHERE ({", ".join(f"stored.{name}" for name in SUMS)})
           IS DISTINCT FROM ({", ".join(f"recomputed.{name}" for name in SUMS)})
     ORDER BY {KEY_LIST} LIMIT $1
"""  # noqa: S608 - constants of this package


class Difference(msgspec.Struct, frozen=True):
    """An hour whose sums are not what its usage rows add up to; None on the side where the hour does not exist.

    `key` has the columns of the table's key; the sums are `calls`, `billable_calls`, `units`, `latency_us_sum`.
    """

    key: dict[str, Any]
    stored: dict[str, Any] | None
    recomputed: dict[str, Any] | None


async def recompute(connection: Connection) -> None:
    """Fill the temporary table `recomputed_usage_hour`, dropped at commit, with the sums of all rows below the watermark.

    It has the columns of `billing.usage_hour`. The caller's transaction must be REPEATABLE READ: rows, watermark and
    stored sums are then of one moment, and rows that the roll-up has not reached yet are no difference.
    """
    assert await connection.fetchval("SHOW transaction_isolation") == "repeatable read"
    watermark = await connection.fetchval("SELECT xid FROM billing.watermark WHERE step = 'rollup'")
    await connection.execute(_CREATE)
    await connection.execute(_FILL, 0, watermark)


async def differences(connection: Connection, *, limit: int = 100) -> list[Difference]:
    """The first differing hours between `billing.usage_hour` and what `recompute` found in the same transaction."""
    return [_difference(row) for row in await connection.fetch(_COMPARE, limit)]


def _difference(row: asyncpg.Record) -> Difference:
    def side(name: str) -> dict[str, Any] | None:
        sums = {column: row[f"{name}_{column}"] for column in SUMS}
        return None if sums["calls"] is None else sums

    return Difference({column: row[column] for column in KEY}, side("stored"), side("recomputed"))
