"""Each call is one span that says where its time went. A collector that is dead or hangs changes nothing for callers,
and does not keep a worker from ending."""

import asyncio
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import msgspec
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from gateway.telemetry import STAGES
from gateway.tracing import Tracing, otlp_exporter
from gateway.transport import RawRequest, RequestHead
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
    request = RawRequest(RequestHead("POST", b"/v1/address/validate", headers), msgspec.json.encode(BERLIN))
    seconds = []
    for _ in range(_CALLS):
        begin = time.perf_counter()
        reply = await gateway.gateway.pipeline.handle_call(request)
        seconds.append(time.perf_counter() - begin)
        assert reply.status == 200
    return seconds


@pytest.mark.timed
@pytest.mark.parametrize("kind", ["dead", "hanging"])
async def test_a_collector_that_does_not_answer_slows_no_call_and_keeps_no_worker(
    gateway: RunningGateway, kind: str
) -> None:
    await gateway.publish("address", lambda document: document.update(limits=[]))
    key = await gateway.create_key(await gateway.open_account())
    await timed_calls(gateway, key)
    without = statistics.median(await timed_calls(gateway, key))
    with collector(kind) as address:
        tracing = gateway.gateway.pipeline._tracing = Tracing(otlp_exporter(address), gateway.clock)
        traced = statistics.median(await timed_calls(gateway, key))
        # Making a span costs something; waiting for its export would cost seconds.
        assert traced < 3 * without + 0.002
        for _ in range(_SPANS):
            trace = tracing.start(UUID(int=1), None, _EPOCH_NS)
            trace.mark("limit")
            trace.end(200, {})
        begin = time.monotonic()
        tracing.shutdown()
        assert time.monotonic() - begin < _SHUTDOWN_MAX_S


def stages_us(span: ReadableSpan) -> dict[str, int]:
    """The microseconds of each stage that a call reached."""
    prefix, suffix = "ordergate.stage.", "_us"
    return {
        name.removeprefix(prefix).removesuffix(suffix): int(str(value))
        for name, value in (span.attributes or {}).items()
        if name.startswith(prefix)
    }


async def test_a_span_lasts_as_long_as_its_call_and_its_stages_say_where_the_time_went(
    gateway: RunningGateway,
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    exporter, pipeline = InMemorySpanExporter(), gateway.gateway.pipeline
    adjust = pipeline._operations["stock/adjust"]

    async def fail(request: Any, context: Any) -> Any:
        if request.warehouse == "nowhere":
            await asyncio.sleep(0.5)
            raise RuntimeError("it fails late")
        return await adjust.run(request, context)

    failing = msgspec.structs.replace(adjust, run=fail, run_together=None)
    pipeline._operations = {**pipeline._operations, "stock/adjust": failing}
    tracing = pipeline._tracing = Tracing(exporter, gateway.clock)
    stock = {"sku": "A", "warehouse": "W1", "quantity": 1, "reason": "count"}
    hold = {"reservation_id": "r-1", "ttl_s": 60, "lines": [{"sku": "A", "quantity": 5}]}
    calls = (
        ("address/validate", BERLIN, "", 200, STAGES),
        ("stock/adjust", stock, "one", 200, STAGES),
        ("stock/adjust", stock, "one", 200, (*STAGES[:4], "respond")),
        ("stock/reserve", hold, "two", 409, STAGES),
        ("stock/adjust", {**stock, "warehouse": "nowhere"}, "three", 500, STAGES),
        ("address/validate", {"country": 7}, "", 400, STAGES[:3]),
        ("address/nothing", BERLIN, "", 404, STAGES[:1]),
    )
    for operation, body, idempotency_key, status, _ in calls:
        headers = {"Idempotency_Key": idempotency_key} if idempotency_key else {}
        reply = await gateway.call(key, operation, body, **headers)
        assert reply.status_code == status, reply.text
    tracing.shutdown()
    spans = exporter.get_finished_spans()
    assert len(spans) == len(calls)
    for span, (operation, _, _, status, reached) in zip(spans, calls, strict=True):
        spent_us = stages_us(span)
        assert tuple(spent_us) == reached, operation
        assert min(spent_us.values()) >= 0
        assert span.start_time is not None
        assert span.end_time is not None
        lasted_us = (span.end_time - span.start_time) / 1_000
        assert sum(spent_us.values()) <= lasted_us
        assert span.status.status_code is (StatusCode.ERROR if status >= 500 else StatusCode.UNSET)
    late = stages_us(spans[4])
    assert late["dispatch"] >= 500_000 > late["meter"], (
        "what an operation spent is not put down to its record"
    )
    replayed = spans[2]
    assert replayed.start_time is not None
    assert replayed.end_time is not None
    assert replayed.end_time > replayed.start_time


async def test_without_an_exporter_no_span_is_ever_made(gateway: RunningGateway) -> None:
    assert gateway.gateway.pipeline._tracing is None
