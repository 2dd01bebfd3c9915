"""The sums again from the usage rows alone, and how they differ from what is stored."""

from typing import Any

import asyncpg
import msgspec

from billing.rollup.service_level import LATENCY_DAY, SERVICE_INTERVAL
from billing.rollup.summed import Summed
from billing.rollup.usage_hour import USAGE_HOUR
from billing.transaction import Connection

SUMMED = (USAGE_HOUR, SERVICE_INTERVAL, LATENCY_DAY)


class Difference(msgspec.Struct, frozen=True):
    """A row of sums that is not what its usage rows add up to; None on the side where the row does not exist.

    `table` is the table's name, `key` has the columns of its key, and the sums are its own.
    """

    key: dict[str, Any]
    stored: dict[str, Any] | None
    recomputed: dict[str, Any] | None
    table: str = USAGE_HOUR.name


async def recompute(connection: Connection) -> None:
    """Fill the temporary tables `recomputed_usage_hour`, `recomputed_service_interval` and `recomputed_latency_day`,
    dropped at commit, with the sums of all rows below the watermark.

    They have the columns of the stored tables. The caller's transaction must be REPEATABLE READ: rows, watermark and
    stored sums are then of one moment, and rows that the roll-up has not reached yet are no difference.
    """
    assert await connection.fetchval("SHOW transaction_isolation") == "repeatable read"
    watermark = await connection.fetchval("SELECT xid FROM billing.watermark WHERE step = 'rollup'")
    for summed in SUMMED:
        await connection.execute(
            f"CREATE TEMPORARY TABLE recomputed_{summed.name} (LIKE {summed.table} INCLUDING INDEXES INCLUDING DEFAULTS) "
            "ON COMMIT DROP"
        )
        await connection.execute(
            f"INSERT INTO {summed.recomputed} ({summed.key_list}, {summed.sum_list}) {summed.grouped}",
            0,
            watermark,
        )


async def differences(connection: Connection, *, limit: int = 100) -> list[Difference]:
    """The first differing rows of each table against what `recompute` found in the same transaction."""
    return [
        _difference(summed, row)
        for summed in SUMMED
        for row in await connection.fetch(_compare(summed), limit)
    ]


def _compare(summed: Summed) -> str:
    def tuple_of(side: str) -> str:
        return ", ".join(f"{side}.{name}" for name in summed.sums)

    both = ", ".join(
        f"{side}.{name} AS {side}_{name}" for side in ("stored", "recomputed") for name in summed.sums
    )
    return (
        f"SELECT {summed.key_list}, {both} "  # noqa: S608 - constants of this package
        f"FROM {summed.table} AS stored FULL JOIN {summed.recomputed} AS recomputed USING ({summed.key_list}) "
        f"WHERE ({tuple_of('stored')}) IS DISTINCT FROM ({tuple_of('recomputed')}) "
        f"ORDER BY {summed.key_list} LIMIT $1"
    )


def _difference(summed: Summed, row: asyncpg.Record) -> Difference:
    def side(name: str) -> dict[str, Any] | None:
        sums = {column: row[f"{name}_{column}"] for column in summed.sums}
        return None if sums[summed.sums[0]] is None else sums

    return Difference(
        {column: row[column] for column in summed.key}, side("stored"), side("recomputed"), summed.name
    )
