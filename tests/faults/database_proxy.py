"""A PostgreSQL socket that breaks at a chosen statement: after the server ran it and before its reply is passed on.

To the database a client that is lost before statement n + 1 is one that is lost after statement n, so breaking after
each in turn is breaking around all of them, COMMIT among them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

# Messages that make the server do something and answer: Query, Sync and CopyDone (PostgreSQL protocol 3.0).
_STATEMENTS = {b"Q", b"S", b"c"}
# What ends the answer: ReadyForQuery, or CopyInResponse.
_ENDS = {b"Z", b"G"}
# ErrorResponse: FATAL 57P01 (admin_shutdown).
_GOODBYE_FIELDS = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
_GOODBYE = b"E" + (len(_GOODBYE_FIELDS) + 4).to_bytes(4, "big") + _GOODBYE_FIELDS
_GOODBYE_S = 0.1
LAST = -1


class DatabaseProxy:
    """Passes everything on until statement number `at`, counted from 1; then breaks once.

    It counts over all connections; with `counts_between`, only on the connection that sends a statement with the
    first of these texts, and from that statement to the next one with the second. Where it `says_goodbye`, the reply
    arrives, and then what a server says that is being shut down, before the connections are cut. `broke_last` tells
    whether it was the second of `counts_between` that broke.
    """

    def __init__(self, folder: Path, upstream: Path) -> None:
        """`folder` gets the socket; at the break `on_break` runs, or else every connection is cut."""
        self._path = folder / ".s.PGSQL.5432"
        self._upstream = upstream / ".s.PGSQL.5432"
        self.on_break: Callable[[], Awaitable[None]] | None = None
        self.says_goodbye = False
        self.counts_between: tuple[bytes, bytes] | None = None
        self._counted: asyncio.StreamReader | None = None
        self._counts_on = True
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._at = 0
        self.statements = 0
        self.broken = False
        self.broke_last = False
        self._over = asyncio.Event()

    async def __aenter__(self) -> "DatabaseProxy":
        """Listen."""
        self._server = await asyncio.start_unix_server(self._accept, self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cut every connection and stop listening."""
        assert self._server is not None
        self._server.close()
        await self._cut()

    def break_at(self, at: int) -> None:
        """Count from the beginning and break at this statement; 0 never breaks, LAST at the last of `counts_between`."""
        self._at = at
        self._counted, self._counts_on = None, True
        self.statements, self.broken, self.broke_last = 0, False, False
        self._over.clear()

    async def over(self) -> None:
        """Returns when the break is over: every connection is cut, or `on_break` has done its work."""
        await self._over.wait()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = await asyncio.open_unix_connection(self._upstream)
        self._writers |= {writer, server[1]}
        replies = asyncio.create_task(self._replies(server[0], writer))
        self._tasks.add(replies)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await self._requests(reader, writer, server, replies)
        server[1].close()

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        replies: "asyncio.Task[None]",
    ) -> None:
        kind = b""
        while True:
            # Only the first message of a connection, the start-up, has no type.
            header = await reader.readexactly(5 if kind else 4)
            body = await reader.readexactly(int.from_bytes(header[-4:], "big") - 4)
            kind = header[:1] if kind else b"start-up"
            due = False
            if kind in _STATEMENTS and self._counts(reader, body):
                self.statements += 1
                due = self.statements == self._at or (self._at == LAST and not self._counts_on)
            if due:
                self.broken, self.broke_last = True, not self._counts_on
                replies.cancel()
                await asyncio.wait({replies})
            server[1].write(header + body)
            await server[1].drain()
            if due:
                reply = await _read_reply(server[0])
                if self.says_goodbye:
                    writer.write(reply + _GOODBYE)
                    await asyncio.sleep(_GOODBYE_S)
                return await self._break()

    def _counts(self, reader: asyncio.StreamReader, body: bytes) -> bool:
        if self.counts_between is None:
            return True
        first, last = self.counts_between
        if self._counted is None and first in body:
            self._counted = reader
        counts = self._counts_on and self._counted is reader
        self._counts_on &= not (counts and last in body)
        return counts

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.close()

    async def _break(self) -> None:
        if self.on_break is None:
            await self._cut()
        else:
            await self.on_break()
        self._over.set()

    async def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()


async def _read_reply(reader: asyncio.StreamReader) -> bytes:
    reply, kind = b"", b""
    while kind not in _ENDS:
        header = await reader.readexactly(5)
        kind = header[:1]
        reply += header + await reader.readexactly(int.from_bytes(header[1:], "big") - 4)
    return reply
