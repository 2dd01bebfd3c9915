"""Door for the gateway: a payment provider's webhook, accepted once.

The signature is checked with the standard library and our own clock: importing Stripe's package would cost each gateway
worker half a second and its memory for one HMAC. Scheme: https://docs.stripe.com/webhooks, "Verify manually".
"""

import hmac
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from billing.settings import stripe_secrets
from billing.transaction import Connection
from catalog.vocabulary.clock import Clock, from_ns
from catalog.vocabulary.problem import Problem

_TOLERANCE = timedelta(minutes=5)
_SIGNATURE_MAX = 4096
_INSERT = """
    INSERT INTO billing.webhook_event (id, type, object, invoice, payment_intent, created_at, received_at, due_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT (id) DO NOTHING
"""


class _Object(msgspec.Struct, frozen=True):
    object: str
    id: str | None = None
    invoice: str | None = None
    payment_intent: str | None = None
    payment: dict[str, Any] | None = None


class _Data(msgspec.Struct, frozen=True):
    object: _Object


class _Event(msgspec.Struct, frozen=True):
    id: str
    type: str
    created: int
    livemode: bool
    data: _Data


_decode = msgspec.json.Decoder(_Event).decode


class StripeInbox:
    """Verifies and stores; what an event means is found out later, by whoever collects."""

    def __init__(self, webhook_secret: str, clock: Clock, *, livemode: bool) -> None:
        """`webhook_secret` is the endpoint's own, `whsec_…`; `livemode`: events are about real money, or none is."""
        self._livemode = livemode
        self._secret = webhook_secret.encode()
        self._clock = clock

    def __repr__(self) -> str:
        """Without the secret."""
        return "StripeInbox()"

    async def accept(self, transaction: Connection, body: bytes, signature: str | None) -> None:
        """Store which object an event is about, once for each event id, in the caller's transaction.

        Nothing else of the event is kept: its payload may name persons, and is out of date by the time it is read.
        `Problem` malformed-request for a body that is not signed, not signed now or not an event, conflict for an event of
        the other mode.
        """
        now = from_ns(self._clock.now_ns())
        self._verify(body, signature or "", now)
        try:
            event = _decode(body)
        except msgspec.DecodeError:
            raise Problem("malformed-request", "The body is not an event of Stripe's API.") from None
        if event.livemode != self._livemode:
            modes = {True: "live", False: "test"}
            raise Problem(
                "conflict",
                f"wrong-mode: event {event.id[:100]} is of Stripe's {modes[event.livemode]} mode; this installation is for its "
                f"{modes[self._livemode]} mode.",
            )
        subject = event.data.object
        payment = subject.payment or {}
        intent = subject.id if subject.object == "payment_intent" else subject.payment_intent
        await transaction.execute(
            _INSERT,
            event.id,
            event.type,
            subject.object,
            subject.id if subject.object == "invoice" else subject.invoice,
            intent or payment.get("payment_intent"),
            datetime.fromtimestamp(event.created, UTC),
            now,
        )

    def _verify(self, body: bytes, header: str, now: datetime) -> None:
        """The header is `t=<seconds>,v1=<hex>[,v1=…]`; the signature covers `<seconds>.<body>`."""
        pairs = tuple(_pairs(header[:_SIGNATURE_MAX]))
        stamps = [value for name, value in pairs if name == "t"]
        if len(stamps) != 1 or not stamps[0].isascii() or not stamps[0].isdigit() or len(stamps[0]) > 11:
            raise _unsigned()
        expected = hmac.new(self._secret, stamps[0].encode() + b"." + body, sha256).hexdigest()
        if not any(
            hmac.compare_digest(expected.encode(), value.encode()) for name, value in pairs if name == "v1"
        ):
            raise _unsigned()
        if abs(now - datetime.fromtimestamp(int(stamps[0]), UTC)) > _TOLERANCE:
            raise Problem("malformed-request", "The signature is too old or from the future.")


def open_inbox(home: Path, clock: Clock) -> StripeInbox | None:
    """The inbox of an installation, or None where no provider is configured."""
    secrets = stripe_secrets(home)
    return None if secrets is None else StripeInbox(secrets.webhook_secret, clock, livemode=not secrets.trial)


def _pairs(header: str) -> Iterator[tuple[str, str]]:
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        yield name, value


def _unsigned() -> Problem:
    return Problem("malformed-request", "The body is not signed with this endpoint's secret.")
