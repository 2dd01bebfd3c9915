"""Events on their way to an endpoint: signed, repeated until accepted, and if wanted twice and in disorder."""

import hmac
from collections.abc import Awaitable, Callable
from hashlib import sha256
from random import Random

import msgspec

from tests.fakes.stripe_server.store import Object, Store

# Takes a body and the value of Stripe-Signature, answers the status.
Endpoint = Callable[[bytes, str], Awaitable[int]]
_ATTEMPTS_MAX = 16


def signature(secret: str, body: bytes, timestamp: int) -> str:
    """The header: a timestamp, and the HMAC-SHA256 of timestamp and body."""
    signed = hmac.new(secret.encode(), b"%d." % timestamp + body, sha256).hexdigest()
    return f"t={timestamp},v1={signed}"


class Webhooks:
    """Delivery to one endpoint."""

    def __init__(self, store: Store, secret: str) -> None:
        self._store = store
        self._secret = secret
        self._sent = 0

    async def deliver(
        self, endpoint: Endpoint, *, disorder: Random | None = None, copies: int = 1, lost: bool = False
    ) -> int:
        """Send every event that is new, each until it is accepted; how many deliveries were made.

        `disorder` shuffles them, `copies` sends each so often; `lost` events are never sent.
        """
        events = self._store.events[self._sent :]
        self._sent = len(self._store.events)
        if lost:
            return 0
        queue: list[tuple[Object, int]] = [(event, 1) for event in events for _ in range(copies)]
        if disorder is not None:
            disorder.shuffle(queue)
        deliveries = 0
        while queue:
            event, attempt = queue.pop(0)
            deliveries += 1
            status = await self._send(endpoint, event)
            if not 200 <= status < 300:
                assert attempt < _ATTEMPTS_MAX, f"the endpoint never accepts {event['type']}: {status}"
                queue.append((event, attempt + 1))
        return deliveries

    async def _send(self, endpoint: Endpoint, event: Object) -> int:
        body = msgspec.json.encode(event)
        return await endpoint(body, signature(self._secret, body, self._store.now))
