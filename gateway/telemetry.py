"""Every metric and span name of the gateway, in one table, and the figures of a worker."""

from prometheus_client import CollectorRegistry, Counter, Histogram

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
