"""The ASGI dispatcher in front of everything: metered calls go to the pipeline, the rest to the control plane.

It is not a Litestar mount: that would decode and rewrite the path and run guards, and no framework hook may take
part in a billable decision.
"""

import asyncio
from typing import Any

from litestar.types import ASGIApp, Receive, Scope, Send

from catalog.vocabulary.ids import call_id_text, new_event_id
from catalog.vocabulary.clock import Clock
from catalog.vocabulary.problem import Problem
from gateway.edge import BODY_MAX, is_call_path
from gateway.pipeline import Pipeline
from gateway.refuse import refuse
from gateway.transport import RawRequest, Reply

# A caller that trickles its body holds a connection, so it gets this long for all of it.
BODY_TIMEOUT_S = 10.0


class _Disconnected(Exception):
    """The caller went away before its request was complete: no call was made."""


class Dispatcher:
    """An ASGI application."""

    def __init__(self, pipeline: Pipeline, control: ASGIApp, clock: Clock) -> None:
        """`control` gets every request that is not a metered call, and the lifespan."""
        self._pipeline = pipeline
        self._control = control
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] != "http" or not is_call_path(scope["raw_path"]):
            await self._control(scope, receive, send)
            return
        try:
            body = await _read_body(receive)
        except _Disconnected:
            return
        except Problem as problem:
            await _send(send, self._refused(problem))
            return
        query = scope["query_string"]
        path = scope["raw_path"] + b"?" + query if query else scope["raw_path"]
        raw = RawRequest(scope["method"], path, tuple(scope["headers"]), body)
        await _send(send, await self._pipeline.handle_call(raw))

    def _refused(self, problem: Problem) -> Reply:
        return refuse(problem, call_id_text(new_event_id(self._clock.now_ns())))


async def _read_body(receive: Receive) -> bytes:
    message: Any = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        return _bounded(message["body"])
    parts = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while True:
                if message["type"] == "http.disconnect":
                    raise _Disconnected
                parts += message["body"]
                _bounded(parts)
                if not message.get("more_body"):
                    return bytes(parts)
                message = await receive()
    except TimeoutError:
        raise Problem("malformed-request", f"The body did not arrive within {BODY_TIMEOUT_S:.0f} seconds.") from None


def _bounded(body: bytes | bytearray) -> bytes:
    if len(body) > BODY_MAX:
        raise Problem("too-large", f"Bodies are at most {BODY_MAX} bytes.")
    return body  # type: ignore[return-value]


async def _send(send: Send, reply: Reply) -> None:
    headers = [*reply.headers, (b"content-length", str(len(reply.body)).encode())]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body, "more_body": False})
