"""ValidCall -> Outcome: run the operation under its deadline and say how it ended, whatever it did."""

import logging
from collections.abc import Mapping
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
    call: ValidCall, operations: Mapping[str, Operation], transaction: Transaction | None
) -> Outcome:
    """Every way an operation can end is an outcome; nothing is raised but cancellation."""
    admission = call.admission
    operation = admission.permit.operation
    caller = admission.permit.caller
    context = CallContext(
        admission.call_id,
        caller.environment,
        caller.account_id,
        caller.application_id,
        from_ns(admission.occurred_at_ns),
        transaction,
    )
    try:
        running = operations[operation.id].run(call.request, context)
        reply = await within(operation.entry.deadline_ms / 1000, running)
        # Judged, measured and encoded here: what fails of it is our failure of this call, and nothing is on record yet.
        return Outcome(
            call,
            "ok",
            _judge(operation.entry.success_when, reply),
            "none",
            200,
            meter.units(operation.entry.meter, call.request, reply),
            _encoder.encode(reply),
            None,
        )
    except BusinessRefusal as refusal:
        return _ended(call, "declined", "business_refusal", "none", refusal)
    except CallerFault as fault:
        return _ended(call, "caller_error", "failure", "caller", fault)
    except TimeoutError:
        detail = f"{operation.id} did not answer within {operation.entry.deadline_ms} ms."
        return failed(call, Problem("deadline-exceeded", detail))
    except Exception as error:
        log.exception("the operation failed", extra=_context(call), exc_info=error)
        return failed(call, Problem("internal-error", "The operation failed on our side."))


def failed(call: ValidCall, problem: Problem) -> Outcome:
    """The outcome of a call that we failed: a provider_error, never billed."""
    return _ended(call, "provider_error", "failure", "provider", problem)


def _ended(
    call: ValidCall, class_: CallClass, outcome: CallOutcome, fault: Fault, problem: Problem
) -> Outcome:
    units = Decimal(0)
    if class_ == "declined":
        units = meter.units(call.admission.permit.operation.entry.meter, call.request, None)
    return Outcome(call, class_, outcome, fault, problem.type.status, units, b"", problem)


def _context(call: ValidCall) -> dict[str, str]:
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
