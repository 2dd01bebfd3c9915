"""The figures of the billing worker that an operator sets alarms on; /metrics of the gateway shows them with its own."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    """Gauges of the last report. They are shared through the folder in PROMETHEUS_MULTIPROC_DIR, where there is one; of
    several processes that have written one there, the last counts."""

    def __init__(self) -> None:
        """Nothing is shown before the first report."""
        registry = CollectorRegistry()

        def gauge(name: str, what: str) -> Gauge:
            return Gauge(name, what, registry=registry, multiprocess_mode="mostrecent")

        self._ship_lag = gauge(
            "ordergate_ship_lag_seconds",
            "From a call to its row in PostgreSQL, the longest since the report before",
        )
        self._roll_up_lag = gauge(
            "ordergate_roll_up_lag_seconds", "Age of the oldest usage row that is in no hourly sum yet"
        )
        self._halted = gauge(
            "ordergate_journals_halted", "Journals that are not shipped until a person has looked at them"
        )
        self._reported_at = gauge(
            "ordergate_billing_reported_timestamp_seconds",
            "When the billing worker last reported, in Unix time",
        )
        self._events = Counter(
            "ordergate_events_shipped", "Usage events taken from journals into PostgreSQL", registry=registry
        )

    def report(self, *, ship_lag_ms: int, roll_up_lag_ms: int, halted: int, events: int, now_ns: int) -> None:
        """Show these figures; `events` are those shipped since the report before."""
        self._ship_lag.set(ship_lag_ms / 1e3)
        self._roll_up_lag.set(roll_up_lag_ms / 1e3)
        self._halted.set(halted)
        self._events.inc(events)
        self._reported_at.set(now_ns / 1e9)
