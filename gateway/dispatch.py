"""ValidCall -> Outcome: run the operation in the time that is left and say how it ended, whatever it did."""

import logging
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec
import zen

from atomic_services.contract import CallContext, Operation, Transaction
from catalog import meter
from catalog.usage_event import CallClass, Fault
from catalog.usage_event import Outcome as CallOutcome
from catalog.vocabulary.clock import from_ns
from catalog.vocabulary.ids import call_id_text
from catalog.vocabulary.money import encode_decimal
from catalog.vocabulary.problem import BusinessRefusal, CallerFault, Problem
from gateway.deadline import within
from gateway.proofs import Outcome, ValidCall

log = logging.getLogger(__name__)

_encoder = msgspec.json.Encoder(enc_hook=encode_decimal)
_PLAIN_SUCCESS = "status == 200"


async def dispatch(
    call: ValidCall, operations: Mapping[str, Operation], transaction: Transaction | None, within_s: float
) -> Outcome:
    """Run one call. Every way an operation can end is an outcome; nothing is raised but cancellation."""
    operation = call.admission.permit.operation
    try:
        running = operations[operation.id].run(call.request, _context(call, transaction))
        return _answered(call, await within(within_s, running))
    except (BusinessRefusal, CallerFault) as refusal:
        return _refused(call, refusal)
    except TimeoutError:
        return too_late(call)
    except Exception as error:
        log.exception("the operation failed", extra=_named(call), exc_info=error)
        return failed(call, Problem("internal-error", "The operation failed on our side."))


async def dispatch_together(
    calls: Sequence[ValidCall],
    operations: Mapping[str, Operation],
    transaction: Transaction,
    within_s: float,
) -> list[Outcome]:
    """Run several calls of one operation at once, in one transaction. Refused calls have left no effect.

    Raises whatever is no answer to one of the calls - then none of them has been judged, and nothing may be kept.
    """
    together = operations[calls[0].admission.permit.operation.id].run_together
    assert together is not None, "only an operation that can is asked to"
    running = together([call.request for call in calls], [_context(call, transaction) for call in calls])
    answers = await within(within_s, running)
    return [_answer_of(call, answer) for call, answer in zip(calls, answers, strict=True)]


def too_late(call: ValidCall) -> Outcome:
    """The outcome of a call whose deadline has passed before anything of it was done, or with all of it undone."""
    operation = call.admission.permit.operation
    detail = f"{operation.id} did not answer within {operation.entry.deadline_ms} ms."
    return failed(call, Problem("deadline-exceeded", detail))


def failed(call: ValidCall, problem: Problem) -> Outcome:
    """The outcome of a call that we failed: a provider_error, never billed."""
    return _ended(call, "provider_error", "failure", "provider", problem)


def _ended(
    call: ValidCall, class_: CallClass, outcome: CallOutcome, fault: Fault, problem: Problem
) -> Outcome:
    units = Decimal(0)
    metered = call.admission.permit.operation.entry.meter
    if class_ == "declined":
        units = meter.units(metered, call.request, None)
    dimensions = meter.dimensions(metered, call.request, None)
    return Outcome(call, class_, outcome, fault, problem.type.status, units, b"", problem, dimensions)


def _refused(call: ValidCall, refusal: BusinessRefusal | CallerFault) -> Outcome:
    if isinstance(refusal, BusinessRefusal):
        return _ended(call, "declined", "business_refusal", "none", refusal)
    return _ended(call, "caller_error", "failure", "caller", refusal)


def _answer_of(call: ValidCall, answer: msgspec.Struct | Problem) -> Outcome:
    if isinstance(answer, (BusinessRefusal, CallerFault)):
        return _refused(call, answer)
    if isinstance(answer, Problem):
        raise answer
    return _answered(call, answer)


def _answered(call: ValidCall, reply: msgspec.Struct) -> Outcome:
    """Judged, measured and encoded here: what fails of it is our failure of this call, and nothing is on record yet."""
    entry = call.admission.permit.operation.entry
    return Outcome(
        call,
        "ok",
        _judge(entry.success_when, reply),
        "none",
        200,
        meter.units(entry.meter, call.request, reply),
        _encoder.encode(reply),
        None,
        meter.dimensions(entry.meter, call.request, reply),
    )


def _context(call: ValidCall, transaction: Transaction | None) -> CallContext:
    admission = call.admission
    caller = admission.permit.caller
    return CallContext(
        admission.call_id,
        caller.environment,
        caller.account_id,
        caller.application_id,
        from_ns(admission.occurred_at_ns),
        transaction,
    )


def _named(call: ValidCall) -> dict[str, str]:
    admission = call.admission
    return {"call_id": call_id_text(admission.call_id), "operation": admission.permit.operation.id}


def _judge(success_when: str, reply: msgspec.Struct) -> CallOutcome:
    if success_when == _PLAIN_SUCCESS:
        return "success"
    facts = {"status": 200, "reply": msgspec.to_builtins(reply)}
    return "success" if compiled(success_when).evaluate(facts) is True else "failure"


@lru_cache(maxsize=1024)
def compiled(expression: str) -> Any:
    """The compiled form of a passport's `success_when`; RuntimeError if it is not an expression."""
    return zen.compile_expression(expression)
