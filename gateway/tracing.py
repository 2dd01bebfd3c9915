"""Spans: one a call, with the time of each stage.

Imported only where an exporter is set, because OpenTelemetry's modules are a third of a worker's start. Spans go
through its bounded batch queue, which drops when the exporter is slow or dead: tracing never holds or fails a call,
and usage never rides on it.
"""

import threading
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from uuid import UUID

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from catalog.vocabulary.clock import Clock
from catalog.vocabulary.ids import call_id_text
from gateway.telemetry import SPAN_CALL

_SHUTDOWN_S = 2.0


def otlp_exporter(endpoint: str) -> SpanExporter:
    """The exporter that posts to an OpenTelemetry collector's base address."""
    return OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")


class CallTrace:
    """The stage times of one call; becomes one span when the call ends."""

    __slots__ = ("_marks", "_tracing", "call_id", "started_ns", "traceparent")

    def __init__(self, tracing: "Tracing", call_id: UUID, traceparent: bytes | None, started_ns: int) -> None:
        self._tracing = tracing
        self.call_id = call_id
        self.traceparent = traceparent
        self.started_ns = started_ns
        self._marks: list[tuple[str, int]] = [("", tracing.clock.monotonic_ns())]

    def mark(self, stage: str) -> None:
        """The stage has ended."""
        self._marks.append((stage, self._tracing.clock.monotonic_ns()))

    def end(self, status: int, attributes: Mapping[str, str]) -> None:
        """Hand the span over: the call is answered."""
        ended_ns = self._tracing.clock.monotonic_ns()
        self._tracing.record(self, self._marks, ended_ns, status, attributes)


class Tracing:
    """Turns call traces into OpenTelemetry spans."""

    def __init__(self, exporter: SpanExporter, clock: Clock) -> None:
        """Spans leave through `exporter`, in batches, from a thread of their own; stages are timed by `clock`."""
        self.clock = clock
        self._exporter = exporter
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "ordergate"}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=2048))
        self._tracer = self._provider.get_tracer("ordergate.gateway")
        self._propagator = TraceContextTextMapPropagator()

    def start(self, call_id: UUID, traceparent: bytes | None, started_ns: int) -> CallTrace:
        """Begin to collect stage times; `started_ns` is wall time."""
        return CallTrace(self, call_id, traceparent, started_ns)

    def record(
        self,
        trace: CallTrace,
        marks: list[tuple[str, int]],
        ended_ns: int,
        status: int,
        attributes: Mapping[str, str],
    ) -> None:
        """Make the one span of a call, with a duration in microseconds for each stage that it reached.

        Marks and end are monotonic, so no duration is wrong because the machine's time of day was set meanwhile.
        """
        carrier = {"traceparent": trace.traceparent.decode("latin-1")} if trace.traceparent else {}
        span = self._tracer.start_span(
            SPAN_CALL,
            context=self._propagator.extract(carrier),
            kind=SpanKind.SERVER,
            start_time=trace.started_ns,
            attributes={
                "ordergate.call_id": call_id_text(trace.call_id),
                "http.response.status_code": status,
                **attributes,
            },
        )
        spent_ns: Counter[str] = Counter()
        for (_, before_ns), (stage, after_ns) in pairwise(marks):
            # A call comes back to a stage when limits are asked for later, or when its batch is run again one by one.
            spent_ns[stage] += after_ns - before_ns
        for stage, nanoseconds in spent_ns.items():
            span.set_attribute(f"ordergate.stage.{stage}_us", nanoseconds // 1_000)
        if status >= 500:
            # What the caller did wrong is no error of this server (OpenTelemetry's conventions for HTTP spans).
            span.set_status(StatusCode.ERROR)
        span.end(trace.started_ns + ended_ns - marks[0][1])

    def shutdown(self) -> None:
        """Export what is queued, for two seconds at most; what is left then is dropped."""
        # The SDK itself waits half a minute for a collector that hangs: longer than a worker has to end.
        flushing = threading.Thread(target=self._provider.shutdown, daemon=True)
        flushing.start()
        flushing.join(_SHUTDOWN_S)
        if flushing.is_alive():
            self._exporter.shutdown()
