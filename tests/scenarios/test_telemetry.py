"""A collector that is dead or hangs changes nothing for callers, and does not keep a worker from ending."""

import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import msgspec
import pytest

from gateway.tracing import Tracing, otlp_exporter
from gateway.transport import RawRequest
from tests.gateways import BERLIN, RunningGateway

_CALLS = 200
# The queue holds 2048 spans and each export takes 512 of them: enough for several exports to wait their turn.
_SPANS = 2500
_SHUTDOWN_MAX_S = 5.0
_EPOCH_NS = 1_790_000_000_000_000_000


@contextmanager
def collector(kind: str) -> Iterator[str]:
    """The address of a collector that refuses connections, or that takes them and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        if kind == "dead":
            listener.close()
        yield address


async def timed_calls(gateway: RunningGateway, key: str) -> list[float]:
    """Seconds that each call took; all of them were answered."""
    headers = (
        (b"host", b"x"),
        (b"authorization", f"Bearer {key}".encode()),
        (b"content-type", b"application/json"),
    )
    request = RawRequest("POST", b"/v1/address/validate", headers, msgspec.json.encode(BERLIN))
    seconds = []
    for _ in range(_CALLS):
        begin = time.perf_counter()
        reply = await gateway.gateway.pipeline.handle_call(request)
        seconds.append(time.perf_counter() - begin)
        assert reply.status == 200
    return seconds


@pytest.mark.parametrize("kind", ["dead", "hanging"])
async def test_a_collector_that_does_not_answer_slows_no_call_and_keeps_no_worker(
    gateway: RunningGateway, kind: str
) -> None:
    await gateway.publish("address", lambda document: document.update(limits=[]))
    key = await gateway.create_key(await gateway.open_account())
    await timed_calls(gateway, key)
    without = statistics.median(await timed_calls(gateway, key))
    with collector(kind) as address:
        tracing = gateway.gateway.pipeline._tracing = Tracing(otlp_exporter(address))
        traced = statistics.median(await timed_calls(gateway, key))
        # Making a span costs something; waiting for its export would cost seconds.
        assert traced < 3 * without + 0.002
        for _ in range(_SPANS):
            marks = [("", _EPOCH_NS), ("limit", _EPOCH_NS + 1)]
            tracing.record(tracing.start(UUID(int=1), None, _EPOCH_NS), marks, 200, {})
        begin = time.monotonic()
        tracing.shutdown()
        assert time.monotonic() - begin < _SHUTDOWN_MAX_S


async def test_without_an_exporter_no_span_is_ever_made(gateway: RunningGateway) -> None:
    assert gateway.gateway.pipeline._tracing is None
