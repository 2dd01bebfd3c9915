"""A call is authenticated, authorised, limited, validated, dispatched, metered and answered.

The pipeline knows nothing of HTTP servers: bytes in, reply out. Each stage needs the proof of the one before, so
none can be skipped, and only a receipt can be answered as a metered call.
"""

import logging
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING
from uuid import UUID

from atomic_services.contract import Operation
from catalog.load import AppliedPrice
from catalog.vocabulary.clock import Clock
from catalog.vocabulary.ids import call_id_text, new_event_id
from catalog.vocabulary.problem import Problem
from gateway import edge
from gateway.authenticate import Authenticator
from gateway.authorise import authorise, find_operation
from gateway.dispatch import dispatch, failed
from gateway.idempotency import earlier_reply, keep_reply
from gateway.limit import Limiter, RateLimited
from gateway.meter import Meter, price_of
from gateway.proofs import Caller, Outcome, ValidCall
from gateway.refuse import refuse
from gateway.respond import respond
from gateway.stores.directory import Directory
from gateway.stores.refusals import UNKNOWN_OPERATION, RefusalCounter
from gateway.stores.unit_of_work import DatabaseAway, UnitsOfWork
from gateway.telemetry import Metrics
from gateway.transport import RawRequest, Reply
from gateway.validate import validate

if TYPE_CHECKING:
    from gateway.tracing import CallTrace, Tracing

log = logging.getLogger(__name__)


class Pipeline:
    """The seven stages of a call."""

    def __init__(
        self,
        *,
        clock: Clock,
        directory: Callable[[], Directory],
        authenticate: Authenticator,
        limit: Limiter,
        operations: Mapping[str, Operation],
        meter: Meter,
        units: UnitsOfWork,
        refusals: RefusalCounter,
        metrics: Metrics,
        tracing: "Tracing | None",
    ) -> None:
        self._clock = clock
        self._directory = directory
        self._authenticate = authenticate
        self._limit = limit
        self._operations = operations
        self._meter = meter
        self._units = units
        self._refusals = refusals
        self._metrics = metrics
        self._tracing = tracing

    async def handle_call(self, raw: RawRequest) -> Reply:
        """Answer one request to the metered surface; whatever goes wrong becomes a problem document."""
        started_ns = self._clock.now_ns()
        call_id = new_event_id(started_ns)
        trace = None
        if self._tracing is not None:
            trace = self._tracing.start(call_id, raw.header(b"traceparent"), started_ns)
        caller: Caller | None = None
        operation = UNKNOWN_OPERATION
        try:
            edge.check(raw)
            caller = self._authenticate(raw)
            self._mark(trace, "authenticate")
            called = find_operation(raw.raw_path.decode("ascii"), self._directory().catalogue)
            operation = called.id
            permit = authorise(caller, called, started_ns)
            self._mark(trace, "authorise")
            admission = self._limit(permit, call_id)
            price = price_of(permit, admission.occurred_at_ns)
            self._mark(trace, "limit")
            call = validate(admission, raw, self._operations)
            self._mark(trace, "validate")
            if permit.operation.entry.effect == "none":
                outcome = await dispatch(call, self._operations, None)
                self._mark(trace, "dispatch")
                reply = await self._journaled(outcome, price, trace)
            else:
                reply = await self._with_effect(call, price, trace)
        except Problem as problem:
            reply = self._refused(problem, caller, operation, call_id)
        except Exception:
            log.exception("a call failed outside its operation", extra={"call_id": call_id_text(call_id)})
            ours = Problem("internal-error", "The gateway failed; nothing was changed that is not on record.")
            reply = self._refused(ours, caller, operation, call_id)
        if trace is not None:
            with _observing:
                trace.end(reply.status, {"ordergate.operation": operation})
        return reply

    async def _with_effect(self, call: ValidCall, price: AppliedPrice, trace: "CallTrace | None") -> Reply:
        try:
            async with self._units.begin(call.admission.permit.caller.account_id) as unit:
                if (replayed := await earlier_reply(unit, call)) is not None:
                    caller = call.admission.permit.caller
                    self._count(caller, call.admission.permit.operation.id, "replayed")
                    return replayed
                outcome = await dispatch(call, self._operations, unit.connection)
                self._mark(trace, "dispatch")
                if outcome.class_ != "provider_error":
                    if outcome.class_ != "ok":
                        await unit.undo_effect()
                    receipt = await self._meter.in_transaction(outcome, price, unit.connection)
                    self._mark(trace, "meter")
                    reply = respond(receipt)
                    await keep_reply(unit, call, reply)
                    await unit.commit()
                    self._measure(outcome)
                    return reply
                if not await unit.roll_back():
                    outcome = failed(call, _away())
        except DatabaseAway:
            outcome = failed(call, _away())
        # The transaction is rolled back and nothing happened; that we failed the caller is on record all the same.
        return await self._journaled(outcome, price, trace)

    async def _journaled(self, outcome: Outcome, price: AppliedPrice, trace: "CallTrace | None") -> Reply:
        receipt = await self._meter.in_journal(outcome, price)
        self._mark(trace, "meter")
        reply = respond(receipt)
        self._measure(outcome)
        self._mark(trace, "respond")
        return reply

    def _measure(self, outcome: Outcome) -> None:
        admission = outcome.call.admission
        seconds = (self._clock.monotonic_ns() - admission.admitted_ns) / 1e9
        with _observing:
            self._metrics.metered(admission.permit.operation.id, outcome.class_, seconds)

    def _refused(self, problem: Problem, caller: Caller | None, operation: str, call_id: UUID) -> Reply:
        if caller is None:
            self._metrics.refused(problem.type.name)
        else:
            self._count(caller, operation, problem.type.name)
        headers = problem.headers if isinstance(problem, RateLimited) else ()
        return refuse(problem, call_id_text(call_id), headers)

    def _count(self, caller: Caller, operation: str, reason: str) -> None:
        self._metrics.refused(reason)
        self._refusals.count(caller.account_id, caller.environment, operation, reason)

    def _mark(self, trace: "CallTrace | None", stage: str) -> None:
        if trace is not None:
            trace.mark(stage, self._clock.now_ns())


class _Observing:
    """What is observed of a call that is on record must not change its answer. A class, because a generator costs 3 µs."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        log.error("a figure was lost", exc_info=error)
        return True


_observing = _Observing()


def _away() -> Problem:
    return Problem(
        "unavailable",
        "The operation's state cannot be reached just now; nothing was changed.",
        retry_after_s=2,
    )
