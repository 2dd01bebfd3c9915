"""Idempotency keys: https://docs.stripe.com/api/idempotent_requests.

The first answer of a key, once execution has begun, is repeated to the same request, a failure as well as a success;
another request with the key is refused. A refusal that comes before execution is not kept.
"""

from typing import Any

import msgspec

from tests.fakes.stripe_server.errors import ApiError

_KEY_MAX = 255


class Answer(msgspec.Struct, frozen=True):
    """A status and a body."""

    status: int
    body: dict[str, Any]


class _Kept(msgspec.Struct, frozen=True):
    request: tuple[str, str, str]
    answer: Answer


class Idempotency:
    """The keys of an account."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def earlier(self, key: str | None, request: tuple[str, str, str]) -> Answer | None:
        """The answer to repeat; `ApiError` idempotency_error for another request with the same key."""
        if key is None:
            return None
        if len(key) > _KEY_MAX:
            raise ApiError(400, "Idempotency keys have at most 255 characters.")
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.request != request:
            raise ApiError(
                400,
                f"Keys for idempotent requests can only be used with the same parameters: {key}",
                type_="idempotency_error",
            )
        return kept.answer

    def keep(self, key: str | None, request: tuple[str, str, str], answer: Answer) -> None:
        """Keep the first answer; the body as it is now, whatever becomes of the object."""
        if key is not None:
            frozen: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(answer.body))
            self._kept[key] = _Kept(request, Answer(answer.status, frozen))

    def forget(self) -> None:
        """What happens to keys after at least 24 hours."""
        self._kept.clear()
