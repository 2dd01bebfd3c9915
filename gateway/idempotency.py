"""Key + input hash -> stored reply: one effect however often a request is sent (draft-ietf-httpapi-idempotency-key).

Same key and same body: the first reply again. Same key and another body: 422. Still running: 409.
"""

import hmac

from catalog.vocabulary.clock import from_ns
from catalog.vocabulary.problem import Problem
from gateway.proofs import ValidCall
from gateway.stores import replies
from gateway.stores.unit_of_work import UnitOfWork
from gateway.transport import Reply


async def earlier_reply(unit: UnitOfWork, call: ValidCall) -> Reply | None:
    """The reply that this intent has had already, or None; from here on the key belongs to this transaction."""
    key = call.idempotency_key
    if key is None:
        return None
    caller, operation = call.admission.permit.caller, call.admission.permit.operation
    place = (caller.account_id, caller.environment, operation.id, key)
    if not await replies.claim(unit.connection, *place):
        raise Problem(
            "idempotency-in-flight",
            "The first request with this key has not been answered yet.",
            retry_after_s=1,
        )
    stored = await replies.find(unit.connection, *place, from_ns(call.admission.occurred_at_ns))
    if stored is None:
        return None
    if not hmac.compare_digest(stored.request_hash, call.body_hash):
        raise Problem("idempotency-key-reused", "The stored reply under this key answers a different body.")
    return Reply(
        stored.reply.status,
        [*stored.reply.headers, (b"idempotent-replayed", b"true"), *call.admission.rate_headers],
        stored.reply.body,
    )


async def keep_reply(unit: UnitOfWork, call: ValidCall, reply: Reply) -> None:
    """Keep the reply in the transaction of its effect."""
    if call.idempotency_key is None:
        return
    admission = call.admission
    caller, operation = admission.permit.caller, admission.permit.operation
    await replies.keep(
        unit.connection,
        caller.account_id,
        caller.environment,
        operation.id,
        call.idempotency_key,
        call.body_hash,
        str(admission.call_id),
        reply,
        from_ns(admission.occurred_at_ns),
    )
