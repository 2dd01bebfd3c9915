"""The outside probe: once a minute, from a process of its own, an anonymous call of every operation on sale.

What is measured: that a connection is accepted, the request read, routed and turned away with 401 within five seconds.
That shows the way to an operation, at no cost and without a metered call; what the operation then computes is what real
requests measure. A minute in which this process did not run was not looked at and counts for nobody: run a second
installation's probe from elsewhere if the whole machine has to be watched.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import msgspec

from billing.transaction import all_accounts
from catalog.registry.published import current
from catalog.sla import PROBE_AGENT
from catalog.vocabulary.clock import Clock, from_ns

_MINUTE_NS = 60_000_000_000
_TIMEOUT_S = 5.0
_AT_ONCE = 8
_TURNED_AWAY = b"HTTP/1.1 401 "


class ProbeMinute(msgspec.Struct, frozen=True):
    """What one minute's round found: how many operations were called and which gave no answer."""

    minute: datetime
    probed: int
    missed: tuple[str, ...]


class Prober:
    """Calls what is on sale and keeps what it finds in a file until the database has it."""

    def __init__(self, pool: asyncpg.Pool, url: str, kept: Path, clock: Clock) -> None:
        """`url` is the gateway's address (`http://127.0.0.1:8080`); `kept` outlives this process."""
        parts = urlsplit(url)
        assert parts.hostname is not None, "the supervisor gives a whole address"
        self._host, self._port = parts.hostname, parts.port or 80
        self._pool = pool
        self._kept = kept
        self._clock = clock
        self._paths: Mapping[str, str] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """One round at every full minute until `stop` is set."""
        while not stop.is_set():
            now_ns = self._clock.now_ns()
            with suppress(TimeoutError):
                async with asyncio.timeout((_MINUTE_NS - now_ns % _MINUTE_NS) / 1_000_000_000):
                    await stop.wait()
            if not stop.is_set():
                await self.take_round()

    async def take_round(self) -> ProbeMinute | None:
        """Probe now, keep what was found, and hand over whatever the database does not have; None with nothing on sale."""
        now_ns = self._clock.now_ns()
        # While the database is away the operations are those that it last named.
        with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self._paths = await self._on_sale()
        if not self._paths:
            return None
        found = ProbeMinute(
            from_ns(now_ns - now_ns % _MINUTE_NS), len(self._paths), await self._missed(self._paths)
        )
        await asyncio.to_thread(_append, self._kept, msgspec.json.encode(found))
        with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await self._hand_over()
        return found

    async def _on_sale(self) -> Mapping[str, str]:
        async with all_accounts(self._pool) as connection:
            passports = [one.passport for one in (await current(connection)).values()]
        return {
            f"{passport.service}/{entry.id}": f"/v{passport.major}/{passport.service}/{entry.id}"
            for passport in passports
            if passport.callable and passport.visibility == "public"
            for entry in passport.operations
        }

    async def _missed(self, paths: Mapping[str, str]) -> tuple[str, ...]:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def answers(path: str) -> bool:
            async with gate:
                return await _answers(self._host, self._port, path)

        answered = await asyncio.gather(*(answers(path) for path in paths.values()))
        return tuple(operation for operation, well in zip(paths, answered, strict=True) if not well)

    async def _hand_over(self) -> None:
        minutes = await asyncio.to_thread(_read, self._kept)
        async with all_accounts(self._pool) as connection:
            await connection.executemany(
                "INSERT INTO billing.probe_minute (minute, probed, missed) VALUES ($1, $2, $3) "
                "ON CONFLICT (minute) DO NOTHING",
                [(one.minute, one.probed, list(one.missed)) for one in minutes],
            )
        await asyncio.to_thread(self._kept.unlink, missing_ok=True)


async def _answers(host: str, port: int, path: str) -> bool:
    request = (
        f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: {PROBE_AGENT}\r\n"
        "Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    )
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request.encode())
                return (await reader.readline()).startswith(_TURNED_AWAY)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


def _append(path: Path, line: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        # An own line whatever stands before it: a round that a power failure cut off has no end.
        os.write(descriptor, b"\n" + line)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> Sequence[ProbeMinute]:
    """The minutes of the file, without those that a power failure cut off."""
    minutes = []
    for line in path.read_bytes().splitlines():
        with suppress(msgspec.DecodeError):
            minutes.append(msgspec.json.decode(line, type=ProbeMinute))
    return minutes
