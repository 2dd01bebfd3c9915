"""What is written first for a hot article: each call is one conditional UPDATE in a transaction of its own.

    python -m tests.performance.plain_server --fd N --socket-dir FOLDER --pool 8 --statements separate

An HTTP server with no stages at all, for `bench_stock` to be compared with: uvloop, httptools and asyncpg as in the
product, on the same PostgreSQL. A call takes its units with one UPDATE that fails where too few are left, and stores
its reservation and its usage; 200 after the commit, 409 where too few are left. `separate` sends the statements one by
one between BEGIN and COMMIT, as most services do; `single` sends all three as one, which holds the row for the shortest time
that one transaction a call can.
"""

import argparse
import asyncio
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import asyncpg
import httptools
import msgspec
import uvloop

from deploy.database import Database

SCHEMA = """
    CREATE SCHEMA IF NOT EXISTS plain;
    CREATE TABLE IF NOT EXISTS plain.level (
        sku text PRIMARY KEY, on_hand bigint NOT NULL, reserved bigint NOT NULL DEFAULT 0,
        CHECK (reserved BETWEEN 0 AND on_hand)
    );
    CREATE TABLE IF NOT EXISTS plain.reservation (
        id text PRIMARY KEY, sku text NOT NULL, quantity bigint NOT NULL, reserved_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL
    );
    CREATE TABLE IF NOT EXISTS plain.usage (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, reservation_id text NOT NULL, operation text NOT NULL,
        occurred_at timestamptz NOT NULL
    );
"""
_TAKE = "UPDATE plain.level SET reserved = reserved + $2 WHERE sku = $1 AND on_hand - reserved >= $2 RETURNING reserved"
_RESERVE = (
    "INSERT INTO plain.reservation (id, sku, quantity, reserved_at, expires_at) VALUES ($1, $2, $3, $4, $5)"
)
_USE = "INSERT INTO plain.usage (reservation_id, operation, occurred_at) VALUES ($1, 'stock/reserve', $2)"
_SINGLE = """
    WITH taken AS (
        UPDATE plain.level SET reserved = reserved + $2 WHERE sku = $1 AND on_hand - reserved >= $2 RETURNING reserved
    ), held AS (
        INSERT INTO plain.reservation (id, sku, quantity, reserved_at, expires_at) SELECT $3, $1, $2, $4, $5 FROM taken
    ), used AS (
        INSERT INTO plain.usage (reservation_id, operation, occurred_at) SELECT $3, 'stock/reserve', $4 FROM taken
    )
    SELECT reserved FROM taken
"""


class Line(msgspec.Struct):
    """Units of an article."""

    sku: str
    quantity: int


class Order(msgspec.Struct):
    """The part of a call to `stock/reserve` that matters here."""

    reservation_id: str
    lines: list[Line]
    ttl_s: int


_ORDER = msgspec.json.Decoder(Order)
_Reserve = Callable[[asyncpg.Pool, Order, datetime], Awaitable[bool]]


async def _separate(pool: asyncpg.Pool, order: Order, now: datetime) -> bool:
    line = order.lines[0]
    async with pool.acquire() as connection, connection.transaction():
        if await connection.fetchval(_TAKE, line.sku, line.quantity) is None:
            return False
        expires_at = now + timedelta(seconds=order.ttl_s)
        await connection.execute(_RESERVE, order.reservation_id, line.sku, line.quantity, now, expires_at)
        await connection.execute(_USE, order.reservation_id, now)
        return True


async def _single(pool: asyncpg.Pool, order: Order, now: datetime) -> bool:
    line = order.lines[0]
    expires_at = now + timedelta(seconds=order.ttl_s)
    async with pool.acquire() as connection:
        taken = await connection.fetchval(
            _SINGLE, line.sku, line.quantity, order.reservation_id, now, expires_at
        )
        return taken is not None


STATEMENTS: dict[str, _Reserve] = {"separate": _separate, "single": _single}


class _Connection(asyncio.Protocol):
    """One caller, who waits for each reply before the next request."""

    def __init__(self, pool: asyncpg.Pool, reserve: _Reserve) -> None:
        self._pool = pool
        self._reserve = reserve
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's do not inherit from it
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self._body += body

    def on_message_complete(self) -> None:
        """Called by the parser."""
        body, self._body = self._body, b""
        task = asyncio.get_running_loop().create_task(self._answer(body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, body: bytes) -> None:
        order = _ORDER.decode(body)
        taken = await self._reserve(self._pool, order, datetime.now(UTC))
        reply = msgspec.json.encode({"reservation_id": order.reservation_id, "reserved": taken})
        status = b"200 OK" if taken else b"409 Conflict"
        head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (
            status,
            len(reply),
        )
        self._transport.write(head + reply)


async def _serve(descriptor: int, socket_dir: str, connections: int, reserve: _Reserve) -> None:
    where = Database(socket_dir=Path(socket_dir)).admin()
    async with asyncpg.create_pool(**where, min_size=connections, max_size=connections) as pool:
        server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(pool, reserve), sock=socket.socket(fileno=descriptor)
        )
        await server.serve_forever()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(prog="plain_server")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--socket-dir", required=True)
    parser.add_argument("--pool", type=int, required=True, help="connections to PostgreSQL")
    parser.add_argument("--statements", choices=STATEMENTS, required=True)
    arguments = parser.parse_args()
    reserve = STATEMENTS[arguments.statements]
    uvloop.run(_serve(arguments.fd, arguments.socket_dir, arguments.pool, reserve))


if __name__ == "__main__":
    main()
