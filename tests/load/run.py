"""The load itself: many clients at once, each taking the next unit and calling until it knows how each call ended."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal

import msgspec

from tests.load.book import Book, Entry
from tests.load.connection import Answer, Connection, Lost, NotSent
from tests.load.plan import Credential, Step, Unit

_PAUSE_MIN_S = 0.05
_PAUSE_MAX_S = 1.0
_AGAIN_LATER = {429, 503, 504}


class Summary(msgspec.Struct, frozen=True):
    """What the clients saw, call by call: each is in `classes`, `refused`, `unknown` or `unresolved` once.

    `unknown` calls may have taken place (they must not be repeated); `unresolved` ones were cut off by the time
    limit. `attempts`, `lost` and `replayed` count attempts; `failures` the replies of status 500.
    """

    calls: int
    classes: Mapping[str, int]
    refused: Mapping[str, int]
    unknown: int
    unresolved: int
    attempts: int
    lost: int
    replayed: int
    failures: int
    seconds: Decimal
    calls_per_s: int
    p50_ms: Decimal
    p99_ms: Decimal


class Load:
    """One run of units against one gateway."""

    def __init__(self, host: str, port: int, book: Book, on_call: Callable[[], object]) -> None:
        """`on_call` is told of each call that has ended."""
        self._host = host
        self._port = port
        self._book = book
        self._on_call = on_call
        self._classes: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._latencies_us: list[int] = []

    async def run(self, units: Iterator[Unit], concurrency: int, seconds_max: float) -> Summary:
        """Call until the units are used up, or the time is."""
        begin = time.monotonic()
        clients = [asyncio.create_task(self._client(units)) for _ in range(concurrency)]
        try:
            async with asyncio.timeout(seconds_max):
                await asyncio.gather(*clients)
        except TimeoutError:
            pass  # what is left is counted as unresolved
        finally:
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)
        return self._summary(time.monotonic() - begin)

    async def _client(self, units: Iterator[Unit]) -> None:
        connection = Connection(self._host, self._port)
        try:
            for unit in units:
                for step in unit.steps:
                    await self._resolve(connection, unit.credential, step)
                    self._on_call()
        finally:
            connection.close()

    async def _resolve(self, connection: Connection, credential: Credential, step: Step) -> None:
        self._counts["calls"] += 1
        headers = {"Authorization": f"Bearer {credential.key}", "Content-Type": "application/json"}
        if step.idempotency_key is not None:
            headers["Idempotency-Key"] = step.idempotency_key
        pause_s = _PAUSE_MIN_S
        ended = False
        try:
            while not ended:
                ended = await self._attempt(connection, credential, step, headers)
                if not ended:
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _PAUSE_MAX_S)
        finally:
            self._counts["unresolved"] += not ended

    async def _attempt(
        self, connection: Connection, credential: Credential, step: Step, headers: Mapping[str, str]
    ) -> bool:
        """Send it once; whether the call has ended."""
        self._counts["attempts"] += 1
        begin_ns = time.monotonic_ns()
        try:
            answer = await connection.post(f"/v1/{step.operation}", headers, step.body)
        except NotSent:
            return False
        except (Lost, asyncio.CancelledError) as error:
            self._counts["lost"] += 1
            self._book.write(Entry(step.operation, credential.account, idempotency_key=step.idempotency_key))
            if isinstance(error, asyncio.CancelledError):
                raise
            unknown = step.idempotency_key is None
            self._counts["unknown"] += unknown
            return unknown
        self._latencies_us.append((time.monotonic_ns() - begin_ns) // 1_000)
        return self._judge(answer, credential, step)

    def _judge(self, answer: Answer, credential: Credential, step: Step) -> bool:
        headers = answer.headers
        charge = headers.get("ordergate-charge")
        class_ = None if charge is None else _class_of(answer.status)
        entry = Entry(
            step.operation,
            credential.account,
            headers.get("ordergate-call-id"),
            answer.status,
            class_,
            charge,
            step.idempotency_key,
            step.change if class_ == "ok" else {},
        )
        self._book.write(entry)
        self._counts["replayed"] += "idempotent-replayed" in headers
        self._counts["failures"] += answer.status == 500
        if answer.status in _AGAIN_LATER or (class_ is None and answer.status == 409):
            return False
        if class_ is not None:
            self._classes[class_] += 1
        else:
            self._refused[str(answer.status)] += 1
        return True

    def _summary(self, seconds: float) -> Summary:
        counts, latencies = self._counts, sorted(self._latencies_us) or [0]
        return Summary(
            calls=counts["calls"],
            classes=dict(sorted(self._classes.items())),
            refused=dict(sorted(self._refused.items())),
            unknown=counts["unknown"],
            unresolved=counts["unresolved"],
            attempts=counts["attempts"],
            lost=counts["lost"],
            replayed=counts["replayed"],
            failures=counts["failures"],
            seconds=Decimal(round(seconds * 10)) / 10,
            calls_per_s=round(counts["calls"] / seconds),
            p50_ms=Decimal(latencies[len(latencies) // 2]) / 1000,
            p99_ms=Decimal(latencies[len(latencies) * 99 // 100]) / 1000,
        )


def _class_of(status: int) -> str:
    """The class of a recorded call, as the status of its reply tells it for the operations of the plan."""
    if status == 200:
        return "ok"
    if status >= 500:
        return "provider_error"
    return "declined" if status == 409 else "caller_error"
