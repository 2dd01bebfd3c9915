"""Every metric and span name of the gateway, in one table, and the little that records them.

Without an exporter no span object is made. With one, spans go through OpenTelemetry's bounded batch queue, which
drops when the exporter is slow: telemetry never holds or fails a call, and usage never rides on it.
"""

from collections.abc import Mapping
from itertools import pairwise
from uuid import UUID

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import CollectorRegistry, Counter, Histogram

from catalog.vocabulary.ids import call_id_text

SPAN_CALL = "ordergate.call"
STAGES = ("authenticate", "authorise", "limit", "validate", "dispatch", "meter", "respond")
_LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The gateway's figures. One instance a process; workers' figures are added up where they are shown."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Histogram(
            "ordergate_call_duration_seconds",
            "Metered calls by operation and class, from admission to reply",
            ("operation", "class"),
            buckets=_LATENCY_BUCKETS_S,
            registry=registry,
        )
        self._refused = Counter(
            "ordergate_calls_refused",
            "Calls turned away or replayed, by reason",
            ("reason",),
            registry=registry,
        )
        self._children: dict[tuple[str, str], Histogram] = {}

    def metered(self, operation: str, class_: str, seconds: float) -> None:
        """One call ended as a usage event."""
        child = self._children.get((operation, class_))
        if child is None:
            child = self._children[operation, class_] = self._calls.labels(operation, class_)
        child.observe(seconds)

    def refused(self, reason: str) -> None:
        """One call turned away."""
        self._refused.labels(reason).inc()


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
        self._provider = TracerProvider(resource=Resource.create({"service.name": "ordergate"}))
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
        """Export what is queued, for a bounded time."""
        self._provider.shutdown()
