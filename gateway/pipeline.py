"""A call is authenticated, authorised, limited, validated, dispatched, metered and answered.

The pipeline knows nothing of HTTP servers: bytes in, reply out. Each stage needs the proof of the one before, so
none can be skipped, and only a receipt can be answered as a metered call.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

import msgspec

from atomic_services.contract import Operation
from catalog.load import AppliedPrice
from catalog.vocabulary.clock import Clock, from_ns
from catalog.vocabulary.ids import Environment, call_id_text, new_event_id
from catalog.vocabulary.problem import Problem
from gateway import edge
from gateway.authenticate import Authenticator
from gateway.authorise import authorise, find_operation
from gateway.combine import Combiner, LineFull, WaitedTooLong
from gateway.directory import Directory
from gateway.dispatch import dispatch, dispatch_together, failed, too_late
from gateway.idempotency import AnsweredMeanwhile, Idempotency, Replayed
from gateway.limit import Limiter, RateLimited, charge_at_most
from gateway.meter import Meter, price_of, price_of_combination
from gateway.observing import observing
from gateway.proofs import Caller, Hold, Outcome, ValidCall
from gateway.refuse import refuse
from gateway.respond import respond
from gateway.telemetry import Metrics
from gateway.transport import RawRequest, Reply
from gateway.unit_of_work import DatabaseAway, UnitOfWork, UnitsOfWork
from gateway.validate import validate

if TYPE_CHECKING:
    from gateway.tracing import CallTrace, Tracing

log = logging.getLogger(__name__)

# Beyond this a batch gains little more for each call, and its first call waits longer.
BATCH_MAX = 64
# An attacker with one valid key must not be able to grow the count of refusals by inventing paths.
UNKNOWN_OPERATION = "-"


class Refusals(Protocol):
    """Where it is counted, durably, what is turned away or replayed."""

    def count(self, account_id: str, environment: Environment, operation: str, reason: str) -> None:
        """One call refused for `reason`, a problem's name, or `replayed`."""


class _Work(msgspec.Struct, frozen=True, gc=False):
    """A call with an effect, on its way into a transaction."""

    call: ValidCall
    price: AppliedPrice
    trace: "CallTrace | None"


# In a transaction a call is answered, or turned away, or has failed: then nothing of it was done.
_Ended = Reply | Replayed | Problem | Outcome


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
        idempotency: Idempotency,
        refusals: Refusals,
        metrics: Metrics,
        tracing: "Tracing | None",
        batch_max: int = BATCH_MAX,
    ) -> None:
        """With `batch_max` 1 every call has a transaction of its own, which is what a benchmark compares with."""
        self._clock = clock
        self._directory = directory
        self._authenticate = authenticate
        self._limit = limit
        self._operations = operations
        self._meter = meter
        self._units = units
        self._idempotency = idempotency
        self._refusals = refusals
        self._metrics = metrics
        self._tracing = tracing
        self._combiner = Combiner(self._in_one_transaction, batch_max=batch_max)
        self._batch_max = batch_max

    async def handle_call(self, raw: RawRequest) -> Reply:
        """Answer one request to the metered surface; whatever goes wrong becomes a problem document."""
        started_ns = self._clock.now_ns()
        call_id = new_event_id(started_ns)
        trace = None
        if self._tracing is not None:
            trace = self._tracing.start(call_id, raw.head.header(b"traceparent"), started_ns)
        caller: Caller | None = None
        operation = UNKNOWN_OPERATION
        hold: Hold | None = None
        try:
            fields = edge.check(raw)
            caller = self._authenticate(fields.get(b"authorization"))
            self._mark(trace, "authenticate")
            called = find_operation(raw.head.raw_path.decode("ascii"), self._directory().catalogue, caller)
            operation = called.id
            permit = authorise(caller, called, started_ns)
            self._mark(trace, "authorise")
            admission = self._limit(permit, call_id)
            price = price_of(permit, admission.occurred_at_ns)
            self._mark(trace, "limit")
            call = validate(admission, raw, self._operations)
            price = price_of_combination(call, price)
            self._mark(trace, "validate")
            earlier = None
            if (hold := admission.hold) is not None and not hold.reserve(charge_at_most(call, price)):
                earlier = await self._acquired_or_answered(hold, call)
                self._mark(trace, "limit")
            if earlier is not None:
                reply = earlier
            elif permit.operation.entry.effect == "none":
                outcome = await dispatch(call, self._operations, None, self._left_s(call))
                self._mark(trace, "dispatch")
                reply = await self._journaled(outcome, price, trace)
            else:
                reply = await self._with_effect(call, price, trace)
        except Problem as problem:
            reply = self._refused(problem, caller, operation, call_id, raw)
        except Exception:
            log.exception("a call failed outside its operation", extra={"call_id": call_id_text(call_id)})
            ours = Problem("internal-error", "The gateway failed; nothing was changed that is not on record.")
            reply = self._refused(ours, caller, operation, call_id, raw)
        if hold is not None and hold.is_open:
            # Not after a cancellation: the call may be in a batch that goes on, and then it is settled there.
            hold.void()
        if trace is not None:
            with observing:
                trace.end(reply.status, {"ordergate.operation": operation})
        return reply

    async def _acquired_or_answered(self, hold: Hold, call: ValidCall) -> Reply | None:
        """None once all is reserved that the call may take; else the reply that its intent has had already.

        The first request of an intent may be the very one that used the limit up: whoever asks again learns how it ended.
        """
        try:
            await hold.acquire()
        except Problem:
            if (earlier := await self._earlier_reply(call)) is None:
                raise
            return earlier
        return None

    async def _earlier_reply(self, call: ValidCall) -> Reply | None:
        """The reply that is kept under the call's key, if there is one; `Problem` where the key is not free for it."""
        if call.idempotency_key is None:
            return None
        try:
            async with self._units.begin(call.admission.permit.caller.account_id) as unit:
                (earlier,) = await self._idempotency.earlier_replies(unit.connection, [call], self._now())
        except DatabaseAway:
            return None
        if isinstance(earlier, Problem):
            raise earlier
        return None if earlier is None else self._replay(call, earlier)

    async def _with_effect(self, call: ValidCall, price: AppliedPrice, trace: "CallTrace | None") -> Reply:
        try:
            ended = await self._end_of(_Work(call, price, trace))
        except WaitedTooLong:
            ended = too_late(call)
        except LineFull:
            ended = failed(call, _shed())
        if isinstance(ended, Problem):
            raise ended
        if isinstance(ended, Outcome):
            # Nothing happened, or it is rolled back; that we failed the caller is on record all the same.
            return await self._journaled(ended, price, trace)
        reply = self._replay(call, ended) if isinstance(ended, Replayed) else ended
        self._mark(trace, "respond")
        return reply

    async def _end_of(self, work: _Work) -> _Ended:
        """In a transaction of its own, or together with the calls that meet it in its line."""
        permit = work.call.admission.permit
        if self._operations[permit.operation.id].run_together is None or self._batch_max == 1:
            (ended,) = await self._in_one_transaction([work])
            return ended
        line = permit.operation.id, permit.caller.account_id, permit.caller.environment
        return await self._combiner.result_of(work, line, self._left_s(work.call))

    async def _in_one_transaction(self, works: Sequence[_Work]) -> Sequence[_Ended]:
        """How each of these calls ended. Raises, for several, what would harm one of them; nothing has happened then."""
        calls = [work.call for work in works]
        try:
            async with self._units.begin(calls[0].admission.permit.caller.account_id) as unit:
                earlier = await self._idempotency.earlier_replies(unit.connection, calls, self._now())
                new = [work for work, reply in zip(works, earlier, strict=True) if reply is None]
                ended = iter(await self._committed(new, unit) if new else ())
                return [next(ended) if reply is None else reply for reply in earlier]
        except AnsweredMeanwhile:
            if len(calls) > 1:
                raise
            return await self._in_one_transaction(works)
        except DatabaseAway:
            if len(calls) > 1:
                raise
            return [failed(calls[0], _away())]

    async def _committed(self, works: Sequence[_Work], unit: UnitOfWork) -> Sequence[_Ended]:
        calls = [work.call for work in works]
        if len(calls) == 1:
            outcome = await dispatch(calls[0], self._operations, unit.connection, self._left_s(calls[0]))
            self._mark(works[0].trace, "dispatch")
            if outcome.class_ == "provider_error":
                return [outcome if await unit.roll_back() else failed(calls[0], _away())]
            if outcome.class_ != "ok":
                await unit.start_over()
                earlier = await self._idempotency.earlier_replies(unit.connection, calls, self._now())
                if earlier != [None]:
                    return [reply for reply in earlier if reply is not None]
            outcomes = [outcome]
        else:
            # What a batch that hangs leaves of the deadline is for each of its calls to run alone.
            half_s = calls[0].admission.permit.operation.entry.deadline_ms / 2_000
            outcomes = await dispatch_together(calls, self._operations, unit.connection, half_s)
            self._mark_all(works, "dispatch")
        receipts = await self._meter.in_transaction(outcomes, [work.price for work in works], unit.connection)
        replies = [respond(receipt) for receipt in receipts]
        await self._idempotency.keep_replies(unit.connection, calls, replies, self._now())
        try:
            await unit.commit()
        except Problem as unknown:
            for call in calls:
                if call.admission.hold is not None:
                    call.admission.hold.doubt()
            return [unknown] * len(calls)
        # It is on record. From here on nothing may raise: a batch that raises is run again.
        self._mark_all(works, "meter")
        for call in calls:
            if call.admission.hold is not None:
                call.admission.hold.confirm()
        for outcome in outcomes:
            self._measure(outcome)
        return replies

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
        with observing:
            self._metrics.metered(admission.permit.operation.id, outcome.class_, seconds)

    def _refused(
        self, problem: Problem, caller: Caller | None, operation: str, call_id: UUID, raw: RawRequest
    ) -> Reply:
        if caller is not None:
            self._count(caller, operation, problem.type.name)
        elif edge.is_probe(raw):
            self._metrics.probed()
        else:
            self._metrics.refused(problem.type.name)
        headers = problem.headers if isinstance(problem, RateLimited) else ()
        return refuse(problem, call_id_text(call_id), headers)

    def _replay(self, call: ValidCall, replayed: Replayed) -> Reply:
        permit = call.admission.permit
        self._count(permit.caller, permit.operation.id, "replayed")
        return replayed.reply

    def _count(self, caller: Caller, operation: str, reason: str) -> None:
        self._metrics.refused(reason)
        self._refusals.count(caller.account_id, caller.environment, operation, reason)

    def _now(self) -> datetime:
        """The time of day; a sandbox's calls occur by a clock of its own (`occurred_at_ns`)."""
        return from_ns(self._clock.now_ns())

    def _left_s(self, call: ValidCall) -> float:
        """What is left of the call's deadline, which counts from its admission."""
        admission = call.admission
        spent_ns = self._clock.monotonic_ns() - admission.admitted_ns
        return admission.permit.operation.entry.deadline_ms / 1e3 - spent_ns / 1e9

    def _mark(self, trace: "CallTrace | None", stage: str) -> None:
        if trace is not None:
            trace.mark(stage)

    def _mark_all(self, works: Sequence[_Work], stage: str) -> None:
        for work in works:
            self._mark(work.trace, stage)


def _away() -> Problem:
    return Problem(
        "unavailable",
        "The operation's state cannot be reached just now; nothing was changed.",
        retry_after_s=2,
    )


def _shed() -> Problem:
    return Problem(
        "unavailable",
        "Too many calls of this account wait for this operation already; nothing was changed.",
        retry_after_s=1,
    )
