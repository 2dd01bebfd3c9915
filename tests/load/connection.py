"""One HTTP/1.1 connection that says, when it fails, whether the request may have arrived."""

import asyncio
from collections.abc import Mapping
from typing import cast

import httptools
import msgspec

_ANSWER_TIMEOUT_S = 30.0
_CONNECT_TIMEOUT_S = 5.0


class NotSent(Exception):
    """Nobody took the request: nothing can have happened."""


class Lost(Exception):
    """The request left and no answer came: it may have had its effect, or not."""


class Answer(msgspec.Struct, frozen=True):
    """A complete reply; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection:
    """Sends one request at a time and connects again when it has to."""

    def __init__(self, host: str, port: int) -> None:
        """Nothing is opened before the first request."""
        self._host = host
        self._port = port
        self._wire: _Wire | None = None

    async def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """The answer; `NotSent` or `Lost`."""
        wire = await self._open()
        lines = [f"POST {path} HTTP/1.1", f"Host: {self._host}:{self._port}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        answered = wire.send("\r\n".join([*lines, "", ""]).encode("ascii") + body)
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                return await answered
        except (TimeoutError, ConnectionError, httptools.HttpParserError) as error:
            self.close()
            raise Lost(str(error)) from error

    def close(self) -> None:
        """Cut the connection."""
        if self._wire is not None:
            self._wire.abort()
            self._wire = None

    async def _open(self) -> "_Wire":
        if self._wire is not None and self._wire.usable:
            return self._wire
        self.close()
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                _, self._wire = await asyncio.get_running_loop().create_connection(
                    _Wire, self._host, self._port
                )
        except (OSError, TimeoutError) as error:
            raise NotSent(str(error)) from error
        return self._wire


class _Wire(asyncio.Protocol):
    """The bytes of a connection, parsed; the callbacks of `httptools` are its `on_…` methods."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._answered: asyncio.Future[Answer] | None = None
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._transport: asyncio.Transport
        self.usable = True

    def send(self, request: bytes) -> "asyncio.Future[Answer]":
        """Write a request; the future is its answer, or a ConnectionError."""
        self._answered = asyncio.get_running_loop().create_future()
        self._headers, self._body = {}, bytearray()
        self._transport.write(request)
        return self._answered

    def abort(self) -> None:
        """Cut it."""
        self.usable = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(error)
            self.abort()

    def eof_received(self) -> None:
        self.usable = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        self._fail(ConnectionResetError(str(exc or "the server closed the connection")))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self.usable = self.usable and self._parser.should_keep_alive()
        if self._answered is not None and not self._answered.done():
            answer = Answer(self._parser.get_status_code(), self._headers, bytes(self._body))
            self._answered.set_result(answer)

    def _fail(self, error: Exception) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)
