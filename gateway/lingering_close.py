"""Closing a connection whose caller still sends: what comes is thrown away for a while, so that the answer can be read.

A socket that is closed with unread bytes resets the connection, and a reset takes the answer from a caller that has not
read it yet. Hence only our own direction is closed first (RFC 9112 section 9.6).
"""

import asyncio
from collections.abc import Callable
from typing import Any

BYTES_MAX = 8 * 1024 * 1024
SECONDS_MAX = 5.0


class LingeringClose(asyncio.Protocol):
    """Takes over a connection on which the last answer is written. Ends when the caller closes, or after 8 MiB or 5 s."""

    def __init__(
        self, transport: asyncio.Transport, answered: asyncio.Protocol, loop: asyncio.AbstractEventLoop
    ) -> None:
        """`answered` is the protocol that is relieved; it is told when the connection is lost."""
        self._transport = transport
        self._answered = answered
        self._left = BYTES_MAX
        self._timer = loop.call_later(SECONDS_MAX, transport.close)
        transport.set_protocol(self)
        transport.write_eof()

    def data_received(self, data: bytes) -> None:
        """Bytes that nobody reads."""
        self._left -= len(data)
        if self._left < 0:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller has closed, or its time is over."""
        self._timer.cancel()
        self._answered.connection_lost(exc)


class GentleTransport:
    """What uvicorn's request cycle sees of a connection that ends with its answer: to close it waits for a caller that is
    still sending its body."""

    def __init__(self, transport: asyncio.Transport, cycle: Any, linger: Callable[[], None]) -> None:
        """`linger` closes the connection after a while; `cycle` knows whether there is more of the body."""
        self.write = transport.write
        self.is_closing = transport.is_closing
        self._close = transport.close
        self._cycle = cycle
        self._linger = linger

    def close(self) -> None:
        """The last answer is written."""
        if self._cycle.more_body:
            self._linger()
        else:
            self._close()
