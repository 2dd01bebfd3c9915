"""Credentials -> Caller. One answer for every way of being wrong, in the same time."""

import hmac
from collections.abc import Callable

from catalog.vocabulary.problem import Problem
from gateway.api_key import InvalidKey, parse_key, secret_digest
from gateway.proofs import Caller
from gateway.stores.directory import Directory, KeyRecord
from gateway.transport import RawRequest

_UNKNOWN_DIGEST = bytes(32)


class Authenticator:
    """Compares keys with the directory's copy; the copy may be `stale_max_s` old while PostgreSQL is away."""

    def __init__(self, directory: Callable[[], Directory], peppers: dict[int, bytes]) -> None:
        """`directory` answers the current copy, or raises `Problem` unavailable when it is too old."""
        self._directory = directory
        self._peppers = peppers
        self._newest = max(peppers)

    def __call__(self, request: RawRequest) -> Caller:
        """The caller of a request; `Problem` unauthenticated otherwise."""
        header = request.header(b"authorization")
        if header is None:
            raise Problem("unauthenticated", "There is no Authorization header.")
        if header[:7].lower() != b"bearer ":
            raise Problem("unauthenticated", "The Authorization header is not `Bearer <key>`.")
        try:
            key = parse_key(header[7:])
        except InvalidKey:
            raise Problem("unauthenticated", "The credential is not a key of this server; look for a typing error.") from None
        record = self._directory().keys.get(key.public_id)
        # An unknown key costs the same comparison as a known one, so timing tells nothing.
        pepper = self._peppers.get(record.pepper_version if record else self._newest, b"")
        presented = secret_digest(pepper, key)
        if not hmac.compare_digest(presented, record.digest if record else _UNKNOWN_DIGEST) or record is None:
            raise Problem("unauthenticated", "The key is not known here.")
        if record.revoked or record.environment != key.environment:
            raise Problem("unauthenticated", "The key has been revoked." if record.revoked else "The key is not known here.")
        return _caller(record)


def _caller(record: KeyRecord) -> Caller:
    account = record.account
    return Caller(
        record.public_id,
        account.id,
        record.application_id,
        record.environment,
        record.cost_centre_id,
        account.currency,
        record.scopes,
        account.subscriptions,
    )
