"""Every metric and span name of the gateway, in one table, and the figures of a worker."""

from bisect import bisect_left

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SPAN_CALL = "ordergate.call"
STAGES = ("authenticate", "authorise", "limit", "validate", "dispatch", "meter", "respond")
_LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class _Latencies:
    """How long calls of one operation and class took, until the next flush.

    With several workers a histogram's own `observe` costs as much as authenticating the call, so calls are counted
    here and added to its buckets together; it has no public method for that.
    """

    __slots__ = ("_histogram", "counts", "seconds")

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._clear()

    def flush(self) -> None:
        counts, seconds = self.counts, self.seconds
        self._clear()
        for bucket, count in zip(self._histogram._buckets, counts, strict=True):
            if count:
                bucket.inc(count)
        if seconds:
            self._histogram._sum.inc(seconds)

    def _clear(self) -> None:
        self.counts = [0] * (len(_LATENCY_BUCKETS_S) + 1)
        self.seconds = 0.0


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
        self._probes = Counter(
            "ordergate_probes",
            "Calls of the outside probe: turned away without a credential, and in no other figure",
            registry=registry,
        )
        self._latencies: dict[tuple[str, str], _Latencies] = {}

    def metered(self, operation: str, class_: str, seconds: float) -> None:
        """One call ended as a usage event; shown after the next `flush`."""
        latencies = self._latencies.get((operation, class_))
        if latencies is None:
            child = self._calls.labels(operation, class_)
            latencies = self._latencies[operation, class_] = _Latencies(child)
        latencies.counts[bisect_left(_LATENCY_BUCKETS_S, seconds)] += 1
        latencies.seconds += seconds

    def flush(self) -> None:
        """Hand over what was counted since the last time."""
        for latencies in self._latencies.values():
            latencies.flush()

    def refused(self, reason: str) -> None:
        """One call turned away."""
        self._refused.labels(reason).inc()

    def probed(self) -> None:
        """One call of the outside probe turned away."""
        self._probes.inc()


class Standing:
    """How a worker stands, as it last looked; over all workers the worst is shown, or their sum."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._journal_accepts = Gauge(
            "ordergate_journal_accepts",
            "1 while every worker's journal takes records, 0 while one refuses them",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self._journal_free = Gauge(
            "ordergate_journal_free_bytes",
            "Free space where journals and their mirrors are, the least of all",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self._connections = Gauge(
            "ordergate_database_connections",
            "Connections to PostgreSQL that calls may use, over all workers",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._connections_in_use = Gauge(
            "ordergate_database_connections_in_use",
            "Connections to PostgreSQL in use by calls, over all workers",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._directory_age = Gauge(
            "ordergate_directory_age_seconds",
            "Age of the oldest worker's copy of keys and catalogue; it grows while PostgreSQL is away",
            registry=registry,
            multiprocess_mode="livemax",
        )

    def show(
        self,
        *,
        journal_accepts: bool,
        journal_free_bytes: int,
        connections: int,
        connections_in_use: int,
        directory_age_s: float,
    ) -> None:
        """Replace what was shown."""
        self._journal_accepts.set(journal_accepts)
        self._journal_free.set(journal_free_bytes)
        self._connections.set(connections)
        self._connections_in_use.set(connections_in_use)
        self._directory_age.set(directory_age_s)
