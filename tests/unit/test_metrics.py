"""The gateway's figures say what happened, whichever way they are collected."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from gateway.telemetry import Metrics

_NAME = "ordergate_call_duration_seconds"
_LABELS = {"operation": "bench/echo", "class": "ok"}


@given(
    st.lists(
        st.lists(st.sampled_from([0.0, 0.0009, 0.001, 0.0011, 0.25, 3.0, 10.0, 11.0, 600.0]), max_size=20),
        max_size=4,
    )
)
def test_flushed_latencies_equal_a_histogram_that_observed_each_of_them(flushes: list[list[float]]) -> None:
    registry, expected = CollectorRegistry(), CollectorRegistry()
    metrics = Metrics(registry)
    buckets = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
    histogram = Histogram(_NAME, "", ("operation", "class"), buckets=buckets, registry=expected)
    for latencies in flushes:
        for seconds in latencies:
            metrics.metered("bench/echo", "ok", seconds)
            histogram.labels("bench/echo", "ok").observe(seconds)
        metrics.flush()
    for bound in ("0.001", "0.0025", "0.25", "5.0", "10.0", "+Inf"):
        labels = {**_LABELS, "le": bound}
        assert registry.get_sample_value(f"{_NAME}_bucket", labels) == expected.get_sample_value(
            f"{_NAME}_bucket", labels
        )
    counted = sum(map(len, flushes))
    assert (registry.get_sample_value(f"{_NAME}_count", _LABELS) or 0) == counted
    total = registry.get_sample_value(f"{_NAME}_sum", _LABELS) or 0
    assert abs(total - sum(map(sum, flushes))) < 1e-6


def test_nothing_is_counted_twice() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.metered("bench/echo", "ok", 0.002)
    metrics.flush()
    metrics.flush()
    assert registry.get_sample_value(f"{_NAME}_count", _LABELS) == 1
