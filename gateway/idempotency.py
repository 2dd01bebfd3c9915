"""Key + input hash -> stored reply: one effect however often a request is sent (draft-ietf-httpapi-idempotency-key).

Same key and same body: the first reply again. Same key and another body: 422. Still running: 409. All of it for the
calls of one transaction at once: they are of one account, environment and operation.
"""

import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from atomic_services.contract import Transaction
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.problem import Problem
from gateway.proofs import ValidCall
from gateway.transport import Reply


class StoredReply(msgspec.Struct, frozen=True):
    """A kept reply, the hash of the body that it answered, and until when it may be asked for."""

    request_hash: bytes
    reply: Reply
    expires_at: datetime


class Kept(msgspec.Struct, frozen=True):
    """A reply to keep: under which key, for which body, of which call, from when on."""

    key: str
    request_hash: bytes
    call_id: UUID
    reply: Reply
    at: datetime


class Place(msgspec.Struct, frozen=True):
    """Where keys are told apart: the same key elsewhere is another key."""

    account_id: str
    environment: Environment
    operation: str


class Claim(msgspec.Struct, frozen=True):
    """Whether a key is this transaction's, and the reply that was kept under it when the claim was made."""

    is_held: bool
    stored: StoredReply | None


class AnsweredMeanwhile(Exception):
    """Another transaction kept a reply under one of the keys between the look-up and the claim. Roll back and look again."""


class Replies(Protocol):
    """Where replies are kept, each in the transaction of the effect that it reports."""

    async def claim(self, transaction: Transaction, place: Place, keys: Sequence[str], /) -> dict[str, Claim]:
        """Take keys for this transaction, unless another one holds them, and look up what is kept under them; never waits."""

    async def forget(self, transaction: Transaction, place: Place, keys: Sequence[str], /) -> None:
        """Delete what is kept under keys that this transaction has claimed."""

    async def keep(self, transaction: Transaction, place: Place, replies: Sequence[Kept], /) -> None:
        """Keep replies for a day; `AnsweredMeanwhile` if there is one already."""


class Replayed(msgspec.Struct, frozen=True, gc=False):
    """The first reply to an intent, for a call that repeats it."""

    reply: Reply


class Idempotency:
    """Answers what was answered before, and keeps what is answered now."""

    def __init__(self, replies: Replies) -> None:
        """By what is kept in `replies`."""
        self._replies = replies

    async def earlier_replies(
        self, transaction: Transaction, calls: Sequence[ValidCall], now: datetime
    ) -> list[Replayed | Problem | None]:
        """For each call the reply that its intent has had already, a `Problem`, or None if it is to be run now.

        From here on the keys of those that are run belong to this transaction. Replies are kept by the time of day, `now`.
        """
        keys = list(dict.fromkeys(call.idempotency_key for call in calls if call.idempotency_key is not None))
        if not keys:
            return [None] * len(calls)
        place = _place(calls[0])
        claimed = await self._replies.claim(transaction, place, keys)
        free = {key for key, claim in claimed.items() if claim.is_held}
        kept = {key: claim.stored for key, claim in claimed.items() if claim.stored is not None}
        if expired := [key for key in free if key in kept and kept[key].expires_at <= now]:
            await self._replies.forget(transaction, place, expired)
        for key in expired:
            del kept[key]
        return [_earlier_reply(call, kept, free) for call in calls]

    async def keep_replies(
        self, transaction: Transaction, calls: Sequence[ValidCall], answers: Sequence[Reply], now: datetime
    ) -> None:
        """Keep the replies in the transaction of their effects; `AnsweredMeanwhile` if it has to begin anew."""
        kept = [
            Kept(call.idempotency_key, call.body_hash, call.admission.call_id, reply, now)
            for call, reply in zip(calls, answers, strict=True)
            if call.idempotency_key is not None
        ]
        if kept:
            await self._replies.keep(transaction, _place(calls[0]), kept)


def _earlier_reply(
    call: ValidCall, kept: Mapping[str, StoredReply], free: set[str]
) -> Replayed | Problem | None:
    key = call.idempotency_key
    if key is None:
        return None
    if key not in free:
        return Problem(
            "idempotency-in-flight",
            "The first request with this key has not been answered yet.",
            retry_after_s=1,
        )
    stored = kept.get(key)
    if stored is None:
        free.remove(key)  # it is this call's from here on
        return None
    if not hmac.compare_digest(stored.request_hash, call.body_hash):
        return Problem("idempotency-key-reused", "The stored reply under this key answers a different body.")
    kept_headers = (_unbilled(name, value) for name, value in stored.reply.headers)
    headers = [*kept_headers, (b"idempotent-replayed", b"true"), *call.admission.rate_headers]
    return Replayed(Reply(stored.reply.status, headers, stored.reply.body))


def _unbilled(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """A header as a replay sends it: nothing is charged again, `0.015 CNY; estimate` becomes `0 CNY`."""
    if name != b"ordergate-charge":
        return name, value
    return name, b"0 " + value.partition(b";")[0].rpartition(b" ")[2]


def _place(call: ValidCall) -> Place:
    permit = call.admission.permit
    return Place(permit.caller.account_id, permit.caller.environment, permit.operation.id)
