"""HTTP/1.1 for metered calls, straight from the parser to the pipeline; everything else goes on to ASGI.

Built on uvicorn's httptools protocol, of which it uses internals: the version is pinned in pyproject.toml and
`tests/contract/test_http_protocol.py` is the list of what is relied on. It exists for two reasons. It bounds what
the base does not: the size of a request's head, and the time a caller may take to send a request. And it leaves out
the ASGI messages, which cost as much as the seven stages.

Sources: RFC 9112 sections 2.3, 6.1, 6.3 and 9 (versions, framing, persistence); RFC 9110 10.1.1 (100-continue).
"""

import asyncio
from typing import Any

import httptools
import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from catalog.vocabulary.clock import SystemClock
from catalog.vocabulary.ids import call_id_text, new_event_id
from catalog.vocabulary.problem import Problem
from gateway.broken_rules import broken_rule, check_head, head_too_large, target_too_long
from gateway.edge import BODY_MAX, HEADER_BYTES_MAX, HEADERS_MAX, is_call_path, malformed, too_large
from gateway.lingering_close import GentleTransport, LingeringClose
from gateway.pipeline import Pipeline
from gateway.refuse import refuse
from gateway.transport import RawRequest, Reply, RequestHead

# How long a caller may take from the first byte of a request to its last.
REQUEST_TIMEOUT_S = 10.0
_TARGET_BYTES_MAX = 4096
_HEAD_END = b"\r\n\r\n"
# Of a head that is kept while its connection lives.
_KNOWN_BYTES_MAX = 2048
_NEVER = float("inf")


class Call(msgspec.Struct, eq=False):
    """One request to the metered surface. To the base class it looks like one of its own request cycles."""

    _protocol: "CallProtocol"
    head: RequestHead
    expects_continue: bool
    keep_alive: bool
    body: bytes | bytearray = b""
    _refusal: Reply | None = None
    _task: asyncio.Task[None] | None = None
    _has_turn: bool = False
    is_complete: bool = False
    disconnected: bool = False
    response_complete: bool = False

    @property
    def message_event(self) -> "Call":
        """The base class wakes its cycles through this; a call has nothing to wake."""
        return self

    def set(self) -> None:
        """See `message_event`."""

    def refuse(self, reply: Reply) -> None:
        """Answer when it is its turn, without waiting for the body, and close."""
        self._refusal = reply
        self.keep_alive = False
        if self._has_turn:
            self._write(reply)

    def take_turn(self) -> None:
        """Every earlier request of the connection is answered."""
        self._has_turn = True
        if self._refusal is not None:
            self._write(self._refusal)
        elif self.is_complete:
            self._start()
        elif self.expects_continue:
            self._protocol.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self.is_complete and self._refusal is None:
            self._protocol.expect_within(REQUEST_TIMEOUT_S)

    def complete(self) -> None:
        """The whole body is here."""
        self.is_complete = True
        if self._has_turn and not self.disconnected:
            self._start()

    def _start(self) -> None:
        assert self._task is None, "a request is handled once"
        protocol = self._protocol
        self._task = protocol.loop.create_task(self._run())
        # The server waits for these when it stops.
        protocol.tasks.add(self._task)

    async def _run(self) -> None:
        raw = RawRequest(self.head, bytes(self.body))
        try:
            # A caller that goes away does not stop its call: effect and record stay one.
            self._write(await self._protocol.calls.handle_call(raw))
        finally:
            self._protocol.tasks.discard(self._task)

    def _write(self, reply: Reply) -> None:
        if self.response_complete:
            return
        self.response_complete = True
        protocol = self._protocol
        if self.disconnected or protocol.transport.is_closing():
            return
        head = _head(reply, protocol.server_state, keep_alive=self.keep_alive)
        protocol.transport.write(head if self.head.method == "HEAD" else head + reply.body)
        if self._refusal is not None:
            protocol.linger()
        elif not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()


class _KnownHead(msgspec.Struct, frozen=True, gc=False):
    """The bytes before the body of a call that came whole, how long it was with its body, and what the head means."""

    start: bytes
    length: int
    head: RequestHead

    def begins(self, data: bytes) -> bool:
        """Whether `data` is one whole call with the same head: what the parser would make of it is known."""
        return len(data) == self.length and data.startswith(self.start)


class CallProtocol(HttpToolsProtocol):
    """A connection. `for_pipeline` gives the class that uvicorn is configured with."""

    calls: Pipeline

    @classmethod
    def for_pipeline(cls, pipeline: Pipeline) -> type["CallProtocol"]:
        """A class whose calls go to `pipeline`."""
        return type("PipelineProtocol", (cls,), {"calls": pipeline})

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._is_in_head = False
        self._head_bytes = 0
        self._due_s = _NEVER
        self._timer: asyncio.TimerHandle | None = None
        self._is_refused = False
        self._is_over = False
        self._is_at_rest = True
        self._begun = 0
        self._known: _KnownHead | None = None

    # Time: one timer a connection, moved only when it fires.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection that stays silent is closed like one whose request never ends."""
        super().connection_made(transport)
        self.expect_within(REQUEST_TIMEOUT_S)
        self._timer = self.loop.call_later(REQUEST_TIMEOUT_S, self._check_time)

    def expect_within(self, seconds: float) -> None:
        """Close the connection unless what it waits for has come by then."""
        self._due_s = self.loop.time() + seconds

    def _check_time(self) -> None:
        remaining = self._due_s - self.loop.time()
        if remaining <= 0:
            self._timer = None
            self.transport.close()
        else:
            self._timer = self.loop.call_later(min(remaining, REQUEST_TIMEOUT_S), self._check_time)

    def connection_lost(self, exc: Exception | None) -> None:
        """Requests that wait for their turn are never started."""
        if self._timer is not None:
            self._timer.cancel()
        for cycle, _ in self.pipeline:
            cycle.disconnected = True
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of requests. Of a head that does not end, no more is read than heads may have."""
        known = self._known
        if known is not None and known.begins(data) and self.cycle.response_complete:
            self._take_again(known, data)
            return
        headers, was_at_rest = self.headers, self._is_at_rest
        self._begun = 0
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._refuse(broken_rule(error))
        except httptools.HttpParserUpgrade:
            pass  # a page or /api: it is answered as if nobody had asked for another protocol
        if self._is_in_head and self.headers is headers:
            self._head_bytes += len(data)
            if self._head_bytes > _TARGET_BYTES_MAX + HEADER_BYTES_MAX:
                self._refuse(head_too_large())
        self._known = self._learned(data) if was_at_rest else None

    # The parser's callbacks, in the order in which they come.

    def on_message_begin(self) -> None:
        """Start a request; what ASGI needs of it is made once it is known to be for ASGI."""
        self.url = b""
        self.headers = []
        self._begun += 1
        self._is_at_rest = False
        self._is_in_head = True
        self._head_bytes = 0
        self.expect_within(REQUEST_TIMEOUT_S)

    def on_url(self, url: bytes) -> None:
        """A part of the request target."""
        self.url += url
        if len(self.url) > _TARGET_BYTES_MAX:
            raise target_too_long(_TARGET_BYTES_MAX)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field, or a trailer field, which is ignored."""
        if len(self.headers) >= HEADERS_MAX:
            raise head_too_large()
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Decide who answers."""
        raw_path = _raw_path(self.url)
        version = self.parser.get_http_version()
        fields = dict(self.headers)
        check_head(version, self.headers, fields)
        self.expect_100_continue = fields.get(b"expect", b"").lower() == b"100-continue"
        if not is_call_path(raw_path):
            self._continue_as_asgi()
            return
        if self.parser.should_upgrade():
            raise malformed("upgrade", "this server does not change protocols; send no Upgrade")
        if int(fields.get(b"content-length", 0)) > BODY_MAX:
            raise too_large(BODY_MAX)
        self._is_in_head = False
        method = self.parser.get_method().decode("ascii")
        # Trailer fields come later and are not part of the head.
        head = RequestHead(method, raw_path, tuple(self.headers))
        keep_alive = version == "1.1" and self.parser.should_keep_alive()
        self._take(Call(self, head, self.expect_100_continue, keep_alive))

    def _take(self, call: Call) -> None:
        """Let a request be answered once every earlier one of the connection is."""
        earlier: Any = self.cycle
        self.cycle = call  # type: ignore[assignment]
        if earlier is None or earlier.response_complete:
            call.take_turn()
        else:
            self.flow.pause_reading()
            self._due_s = _NEVER
            self.pipeline.appendleft((call, None))  # type: ignore[arg-type]

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        call: Any = self.cycle
        if type(call) is not Call:
            super().on_body(body)
        elif len(call.body) + len(body) > BODY_MAX:
            raise too_large(BODY_MAX)
        elif not call.body:
            call.body = body
        else:
            if type(call.body) is bytes:
                call.body = bytearray(call.body)
            call.body += body

    def on_message_complete(self) -> None:
        """The request is complete; from here on its own deadline holds, not the connection's."""
        self._is_at_rest = True
        self._due_s = _NEVER
        call: Any = self.cycle
        if type(call) is Call:
            call.complete()
        else:
            super().on_message_complete()

    # A head that repeats itself, as clients that keep a connection send it: to read and check it anew would be a fifth
    # of what a call costs. What the parser made of the same bytes, beginning as now between two requests, is known.

    def _learned(self, data: bytes) -> "_KnownHead | None":
        """The head of `data`, if that was exactly one call with its whole body, and may come again."""
        call: Any = self.cycle
        if type(call) is not Call or self._begun != 1 or not self._is_at_rest:
            return None
        length = data.find(_HEAD_END) + len(_HEAD_END)
        if not call.keep_alive or call.expects_continue or length > _KNOWN_BYTES_MAX:
            return None
        body_bytes = len(data) - length
        if body_bytes != len(call.body) or (b"content-length", b"%d" % body_bytes) not in call.head.headers:
            return None
        return _KnownHead(data[:length], len(data), call.head)

    def _take_again(self, known: "_KnownHead", data: bytes) -> None:
        """A call whose head is known, with its whole body."""
        self._due_s = _NEVER
        self.cycle = call = Call(self, known.head, False, True, data[len(known.start) :])  # type: ignore[assignment]
        call.is_complete = True
        call.take_turn()

    # Between requests.

    def on_response_complete(self) -> None:
        """Give the next waiting request its turn, or wait for one."""
        self.server_state.total_requests += 1
        if self._is_over or self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        else:
            self.expect_within(self.timeout_keep_alive)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if type(cycle) is Call:
            cycle.take_turn()
        else:
            super()._start_asgi_task(cycle, app)

    # The end.

    def _refuse(self, problem: Problem) -> None:
        """Answer the request that is being read with a problem, in its turn, and close: what follows cannot be trusted."""
        if self._is_refused or self.transport.is_closing():
            return
        self._is_refused = True
        self._due_s = _NEVER
        reply = refuse(problem, call_id_text(new_event_id(SystemClock().now_ns())))
        broken: Any = None if self._is_in_head else self.cycle
        if type(broken) is Call:
            broken.refuse(reply)
            return
        if broken is not None and not broken.response_complete:
            self._give_up(broken)
        call = Call(self, RequestHead("", b"", ()), False, False)
        call.refuse(reply)
        self._take(call)

    def _give_up(self, cycle: Any) -> None:
        """The control plane waits for a body that broke off: it is told so, and its answer is not sent."""
        cycle.disconnected = True
        cycle.message_event.set()
        if (waiting := (cycle, self.app)) in self.pipeline:
            self.pipeline.remove(waiting)
        else:
            cycle.response_complete = True

    def linger(self) -> None:
        """Close after the last answer; until the caller has read it, what it still sends is thrown away."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        self.flow.resume_reading()
        LingeringClose(self.transport, self, self.loop)

    def _continue_as_asgi(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers
        super().on_headers_complete()
        self._is_in_head = False
        cycle: Any = self.cycle
        if not cycle.keep_alive:
            cycle.transport = GentleTransport(self.transport, cycle, self.linger)


def _head(reply: Reply, state: ServerState, *, keep_alive: bool) -> bytes:
    """Status line and header fields of a reply, with the empty line that ends them."""
    fields = [*state.default_headers, *reply.headers, (b"content-length", b"%d" % len(reply.body))]
    if not keep_alive:
        fields.append((b"connection", b"close"))
    return STATUS_LINE[reply.status] + b"\r\n".join(map(b": ".join, fields)) + b"\r\n\r\n"


def _raw_path(target: bytes) -> bytes:
    """Path and query of a request target, undecoded; `HttpParserError` for what is no target."""
    if target[:1] == b"/" and b"?" not in target and b"#" not in target:
        return target
    url = httptools.parse_url(target)
    path: bytes = url.path
    return path + b"?" + url.query if url.query else path
