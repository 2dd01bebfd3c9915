"""Spans: one a call, with the time of each stage.

Imported only where an exporter is set, because OpenTelemetry's modules are a third of a worker's start. Spans go
through its bounded batch queue, which drops when the exporter is slow or dead: tracing never holds or fails a call,
and usage never rides on it.
"""

import threading
from collections.abc import Mapping
from itertools import pairwise
from uuid import UUID

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from catalog.vocabulary.ids import call_id_text
from gateway.telemetry import SPAN_CALL

_SHUTDOWN_S = 2.0


def otlp_exporter(endpoint: str) -> SpanExporter:
    """The exporter that posts to an OpenTelemetry collector's base address."""
    return OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")


class CallTrace:
    """The stage times of one call; becomes one span when the call ends."""

    __slots__ = ("_marks", "_tracing", "call_id", "traceparent")

    def __init__(self, tracing: "Tracing", call_id: UUID, traceparent: bytes | None, now_ns: int) -> None:
        self._tracing = tracing
        self.call_id = call_id
        self.traceparent = traceparent
        self._marks: list[tuple[str, int]] = [("", now_ns)]

    def mark(self, stage: str, now_ns: int) -> None:
        """The stage ended now."""
        self._marks.append((stage, now_ns))

    def end(self, status: int, attributes: Mapping[str, str]) -> None:
        """Hand the span over."""
        self._tracing.record(self, self._marks, status, attributes)


class Tracing:
    """Turns call traces into OpenTelemetry spans."""

    def __init__(self, exporter: SpanExporter) -> None:
        """Spans leave through `exporter`, in batches, from a thread of their own."""
        self._exporter = exporter
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "ordergate"}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=2048))
        self._tracer = self._provider.get_tracer("ordergate.gateway")
        self._propagator = TraceContextTextMapPropagator()

    def start(self, call_id: UUID, traceparent: bytes | None, now_ns: int) -> CallTrace:
        """Begin to collect stage times; `now_ns` is wall time."""
        return CallTrace(self, call_id, traceparent, now_ns)

    def record(
        self, trace: CallTrace, marks: list[tuple[str, int]], status: int, attributes: Mapping[str, str]
    ) -> None:
        """Make the one span of a call, with a duration in microseconds for each stage that it reached."""
        carrier = {"traceparent": trace.traceparent.decode("latin-1")} if trace.traceparent else {}
        span = self._tracer.start_span(
            SPAN_CALL,
            context=self._propagator.extract(carrier),
            kind=SpanKind.SERVER,
            start_time=marks[0][1],
            attributes={
                "ordergate.call_id": call_id_text(trace.call_id),
                "http.response.status_code": status,
                **attributes,
            },
        )
        for (_, before_ns), (stage, after_ns) in pairwise(marks):
            span.set_attribute(f"ordergate.stage.{stage}_us", (after_ns - before_ns) // 1_000)
        span.end(marks[-1][1])

    def shutdown(self) -> None:
        """Export what is queued, for two seconds at most; what is left then is dropped."""
        # The SDK itself waits half a minute for a collector that hangs: longer than a worker has to end.
        flushing = threading.Thread(target=self._provider.shutdown, daemon=True)
        flushing.start()
        flushing.join(_SHUTDOWN_S)
        if flushing.is_alive():
            self._exporter.shutdown()
