"""What each stage of our own call costs: the product's stages, called in this process with one real call."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import uvloop
from prometheus_client import CollectorRegistry

from atomic_services import registry
from billing.journal import Journal
from billing.record import record
from catalog.usage_event import USAGE_EVENT_KIND
from catalog.vocabulary.clock import SystemClock
from catalog.vocabulary.ids import new_event_id
from deploy.roles import GATEWAY
from gateway import edge
from gateway.authenticate import Authenticator
from gateway.authorise import authorise, find_operation
from gateway.dispatch import dispatch
from gateway.limit import Limiter
from gateway.meter import Meter, price_of
from gateway.respond import respond
from gateway.stores.counters import SharedCounters
from gateway.stores.directory import Directory, DirectoryStore
from gateway.stores.peppers import load_peppers
from gateway.telemetry import Metrics
from gateway.transport import RawRequest
from gateway.validate import validate
from tests.performance.installation import Installation

_BODY = b'{"country":"DE","postal_code":"10115","locality":"Berlin","lines":["Invalidenstr. 116"]}'
_PATH = "/v1/bench/echo"
_CALLERS = 64
_PAYLOAD_BYTES = 300
JOURNAL = "journal: group commit"


def measure(installation: Installation, calls: int) -> dict[str, float]:
    """Microseconds of CPU for each stage of `bench/echo`, and for an append to the journal among 64 callers."""
    return uvloop.run(_measure(installation, calls))


def table(costs: Mapping[str, float], whole_us: float) -> str:
    """One line a stage; `whole_us` is the cost of a served call, and what no stage explains is the server's."""
    rows = [*costs.items(), ("protocol, event loop, kernel", whole_us - sum(costs.values()))]
    lines = [f"{'stages of bench/echo':32}{'us CPU':>9}"]
    lines += [f"{name:32}{cost_us:9.2f}" for name, cost_us in rows]
    return "\n".join([*lines, f"{'a served call':32}{whole_us:9.2f}"])


class _Unjournaled:
    """In the place of the journal while the meter's own work is measured."""

    def __init__(self) -> None:
        self._done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._done.set_result(1)

    def append(self, kind: int, payload: bytes) -> "asyncio.Future[int]":
        """Durable at once."""
        return self._done


async def _measure(installation: Installation, calls: int) -> dict[str, float]:
    home, clock = installation.home, SystemClock()
    store = DirectoryStore(installation.database.as_role(GATEWAY), clock, 300)
    await store.start()
    counters = SharedCounters(home.run / "stage-rates")
    try:
        costs = _stages(installation, store.current, counters, calls)
    finally:
        counters.close()
        await store.stop()
    journal = await Journal.open_free(home.journals, clock=clock)
    try:
        costs[JOURNAL] = await _append(journal, calls)
    finally:
        await journal.close()
    return costs


def _stages(
    installation: Installation, directory: Callable[[], Directory], counters: SharedCounters, calls: int
) -> dict[str, float]:
    clock, operations = SystemClock(), registry.operations()
    headers = (
        (b"host", b"127.0.0.1:8080"),
        (b"authorization", b"Bearer " + installation.key.encode()),
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(_BODY)),
    )
    raw = RawRequest("POST", _PATH.encode(), headers, _BODY)
    authenticate = Authenticator(directory, load_peppers(installation.home.path))
    limit = Limiter(counters, clock)
    meter = Meter(_Unjournaled(), record, clock)
    metrics = Metrics(CollectorRegistry())
    caller = authenticate(raw)
    called = find_operation(_PATH, directory().catalogue)
    permit = authorise(caller, called, clock.now_ns())
    admission = limit(permit, new_event_id(clock.now_ns()))
    price = price_of(permit, admission.occurred_at_ns)
    call = validate(admission, raw, operations)
    outcome = _finish(dispatch(call, operations, None))
    receipt = _finish(meter.in_journal(outcome, price))
    steps: dict[str, Callable[[], object]] = {
        "call id": lambda: new_event_id(clock.now_ns()),
        "edge": lambda: edge.check(raw),
        "authenticate": lambda: authenticate(raw),
        "authorise": lambda: authorise(caller, find_operation(_PATH, directory().catalogue), clock.now_ns()),
        "limit": lambda: limit(permit, admission.call_id),
        "price": lambda: price_of(permit, admission.occurred_at_ns),
        "validate": lambda: validate(admission, raw, operations),
        "dispatch": lambda: _finish(dispatch(call, operations, None)),
        "meter: the event": lambda: _finish(meter.in_journal(outcome, price)),
        "respond": lambda: respond(receipt),
        "metrics": lambda: metrics.metered("bench/echo", "ok", 0.001),
    }
    nothing_us = _cost_us(lambda: None, calls)
    return {name: max(0.0, _cost_us(step, calls) - nothing_us) for name, step in steps.items()}


def _finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that does not wait."""
    try:
        coroutine.send(None)
    except StopIteration as finished:
        return finished.value
    raise AssertionError("this stage waits")


def _cost_us(step: Callable[[], object], calls: int) -> float:
    begun_ns = time.thread_time_ns()
    for _ in range(calls):
        step()
    return (time.thread_time_ns() - begun_ns) / calls / 1_000


async def _append(journal: Journal, appends: int) -> float:
    """CPU of all threads for each append, as calls make them: 64 at a time, each waiting for its own."""
    payload = bytes(_PAYLOAD_BYTES)

    async def caller() -> None:
        for _ in range(appends // _CALLERS):
            await journal.append(USAGE_EVENT_KIND, payload)

    begun_ns = time.process_time_ns()
    await asyncio.gather(*(caller() for _ in range(_CALLERS)))
    return (time.process_time_ns() - begun_ns) / appends / 1_000
