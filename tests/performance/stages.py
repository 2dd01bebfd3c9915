"""What each stage of our own call costs: the real pipeline in this process, with a stopwatch where traces are made."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

import uvloop
from prometheus_client import CollectorRegistry

from atomic_services import registry
from billing.journal import Journal
from billing.record import record
from catalog.usage_event import USAGE_EVENT_KIND
from catalog.vocabulary.clock import SystemClock
from deploy.roles import GATEWAY
from gateway.authenticate import Authenticator
from gateway.idempotency import Idempotency
from gateway.limit import Limiter
from gateway.meter import Meter
from gateway.pipeline import Pipeline
from gateway.stores import replies
from gateway.stores.counters import SharedCounters
from gateway.stores.directory import DirectoryStore
from gateway.stores.peppers import load_peppers
from gateway.stores.refusals import RefusalCounter
from gateway.telemetry import STAGES, Metrics
from gateway.transport import RawRequest, RequestHead
from gateway.unit_of_work import UnitsOfWork
from tests.performance.installation import Installation
from tests.performance.load import BODY

_CALLERS = 64
_PAYLOAD_BYTES = 300
_WARM_UP = 200
_BEFORE = "identify"
_AFTER = "hand over"


def measure(installation: Installation, calls: int) -> dict[str, float]:
    """Microseconds of CPU for each stage of `bench/echo`, and for an append to the journal among 64 callers."""
    return uvloop.run(_measure(installation, calls))


def table(costs: Mapping[str, float], whole_us: float) -> str:
    """One line a stage; `whole_us` is the cost of a served call, and what no stage explains is the server's."""
    rows = [*costs.items(), ("protocol, event loop, kernel", whole_us - sum(costs.values()))]
    lines = [f"{'stages of bench/echo':32}{'us CPU':>9}"]
    lines += [f"{name:32}{cost_us:9.2f}" for name, cost_us in rows]
    return "\n".join([*lines, f"{'a served call':32}{whole_us:9.2f}"])


class _Stopwatch:
    """In the place of tracing: adds up the CPU time between the marks of all calls."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget what was measured."""
        self.spent_ns = dict.fromkeys((_BEFORE, *STAGES, _AFTER), 0)
        self._at_ns = time.thread_time_ns()

    def begin(self) -> None:
        """A call begins."""
        self._at_ns = time.thread_time_ns()

    def start(self, _call_id: UUID, _traceparent: bytes | None, _started_ns: int) -> "_Stopwatch":
        """The call has its id."""
        self.mark(_BEFORE)
        return self

    def mark(self, stage: str) -> None:
        """A stage has ended."""
        now_ns = time.thread_time_ns()
        self.spent_ns[stage] += now_ns - self._at_ns
        # Read again, so that the stopwatch's own work is in no stage.
        self._at_ns = time.thread_time_ns()

    def end(self, _status: int, _attributes: Mapping[str, str]) -> None:
        """The call is answered."""
        self.mark(_AFTER)


class _Unjournaled:
    """In the place of the journal: what an append costs depends on how many share a batch, and is measured by itself."""

    def __init__(self) -> None:
        self._done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._done.set_result(1)

    def append(self, kind: int, payload: bytes) -> "asyncio.Future[int]":
        """Durable at once."""
        return self._done


async def _measure(installation: Installation, calls: int) -> dict[str, float]:
    home, clock = installation.home, SystemClock()
    journal = await Journal.open_free(home.journals, clock=clock)
    directory = DirectoryStore(installation.database.as_role(GATEWAY), clock, 300)
    await directory.start()
    counters = SharedCounters(home.run / "stage-rates")
    stopwatch = _Stopwatch()
    try:
        pipeline = Pipeline(
            clock=clock,
            directory=directory.current,
            authenticate=Authenticator(directory.current, load_peppers(home.path)),
            limit=Limiter(counters, cast("Any", None), clock),  # its account falls under no limit but a rate
            operations=registry.operations(),
            meter=Meter(_Unjournaled(), record, clock),
            units=cast("UnitsOfWork", None),  # an operation without effect opens none
            idempotency=Idempotency(replies),
            refusals=RefusalCounter(journal, clock),
            metrics=Metrics(CollectorRegistry()),
            tracing=cast("Any", stopwatch),
        )
        costs = await _stages(pipeline, stopwatch, _request(installation.key), calls)
        return {**costs, "journal: group commit": await _append(journal, calls)}
    finally:
        counters.close()
        await directory.stop()
        await journal.close()


def _request(key: str) -> RawRequest:
    headers = (
        (b"host", b"127.0.0.1:8080"),
        (b"authorization", b"Bearer " + key.encode()),
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(BODY)),
    )
    return RawRequest(RequestHead("POST", b"/v1/bench/echo", headers), BODY)


async def _stages(
    pipeline: Pipeline, stopwatch: _Stopwatch, request: RawRequest, calls: int
) -> dict[str, float]:
    for made in range(_WARM_UP + calls):
        if made == _WARM_UP:
            stopwatch.clear()
        stopwatch.begin()
        reply = await pipeline.handle_call(request)
        assert reply.status == 200, reply.body
    clock_us = _clock_us(calls)
    return {
        name: max(0.0, spent_ns / calls / 1_000 - clock_us) for name, spent_ns in stopwatch.spent_ns.items()
    }


def _clock_us(readings: int) -> float:
    """What one reading of the clock costs."""
    begun_ns = time.thread_time_ns()
    for _ in range(readings):
        time.thread_time_ns()
    return (time.thread_time_ns() - begun_ns) / readings / 1_000


async def _append(journal: Journal, appends: int) -> float:
    """CPU of all threads for each append, as calls make them: 64 at a time, each waiting for its own."""
    payload = bytes(_PAYLOAD_BYTES)

    async def caller() -> None:
        for _ in range(appends // _CALLERS):
            await journal.append(USAGE_EVENT_KIND, payload)

    begun_ns = time.process_time_ns()
    await asyncio.gather(*(caller() for _ in range(_CALLERS)))
    return (time.process_time_ns() - begun_ns) / appends / 1_000
