"""ValidCall -> Outcome: run the operation under its deadline and say how it ended, whatever it did."""

import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
import zen

from atomic_services.contract import CallContext, Operation, Transaction
from catalog.usage_event import Outcome as CallOutcome
from catalog.vocabulary.clock import from_ns
from catalog.vocabulary.ids import call_id_text
from catalog.vocabulary.problem import BusinessRefusal, CallerFault, Problem
from gateway.deadline import within
from gateway.proofs import Outcome, ValidCall

log = logging.getLogger(__name__)

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
    except BusinessRefusal as refusal:
        return Outcome(call, "declined", "business_refusal", "none", refusal.type.status, None, refusal)
    except CallerFault as fault:
        return Outcome(call, "caller_error", "failure", "caller", fault.type.status, None, fault)
    except TimeoutError:
        detail = f"{operation.id} did not answer within {operation.entry.deadline_ms} ms."
        return failed(call, Problem("deadline-exceeded", detail))
    except Exception as error:
        log.exception("the operation failed", extra=_context(call), exc_info=error)
        return failed(call, Problem("internal-error", "The operation failed on our side."))
    return Outcome(call, "ok", _judge(operation.entry.success_when, reply), "none", 200, reply, None)


def failed(call: ValidCall, problem: Problem) -> Outcome:
    """The outcome of a call that we failed: a provider_error, never billed."""
    return Outcome(call, "provider_error", "failure", "provider", problem.type.status, None, problem)


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
