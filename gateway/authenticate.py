"""Credentials -> Caller. One answer for every way of being wrong, in the same time."""

import hmac
import secrets
from collections.abc import Callable, Mapping
from hashlib import blake2b

from catalog.vocabulary.problem import Problem
from gateway.api_key import InvalidKey, parse_key, secret_digest
from gateway.directory import Directory, KeyRecord
from gateway.proofs import Caller

_UNKNOWN_DIGEST = bytes(32)
_REMEMBERED_MAX = 20_000


class Authenticator:
    """Compares keys with the directory's copy.

    A credential that was right is remembered, by a keyed hash under a secret of this process, together with the very
    record it was compared with. Revoking or changing a key replaces the record, so what was remembered no longer
    counts; and the full comparison, which is four times as slow, is made once a key and change.
    """

    def __init__(self, directory: Callable[[], Directory], peppers: Mapping[int, bytes]) -> None:
        """`directory` answers the current copy, or raises `Problem` unavailable when it is too old to be trusted."""
        self._directory = directory
        self._peppers = peppers
        self._newest = max(peppers)
        self._fingerprint = blake2b(digest_size=32, key=secrets.token_bytes(32))
        self._remembered: dict[bytes, tuple[KeyRecord, Caller]] = {}

    def __call__(self, credential: bytes | None) -> Caller:
        """Whose credential an Authorization header holds; `Problem` unauthenticated otherwise, and where there is none."""
        if credential is None:
            raise Problem("unauthenticated", "There is no Authorization header.")
        keys = self._directory().keys
        # The secret has gone into the hash that is copied: half the work for each call.
        hashing = self._fingerprint.copy()
        hashing.update(credential)
        fingerprint = hashing.digest()
        remembered = self._remembered.get(fingerprint)
        if remembered is not None and keys.get(remembered[0].public_id) is remembered[0]:
            return remembered[1]
        record = self._compare(credential, keys)
        caller = _caller(record)
        if len(self._remembered) >= _REMEMBERED_MAX:
            self._remembered.clear()
        self._remembered[fingerprint] = record, caller
        return caller

    def _compare(self, credential: bytes, keys: Mapping[str, KeyRecord]) -> KeyRecord:
        if credential[:7].lower() != b"bearer ":
            raise Problem("unauthenticated", "The Authorization header is not `Bearer <key>`.")
        try:
            key = parse_key(credential[7:])
        except InvalidKey:
            raise Problem(
                "unauthenticated", "The credential is not a key of this server; look for a typing error."
            ) from None
        record = keys.get(key.public_id)
        # An unknown key costs the same comparison as a known one, so timing tells nothing.
        pepper = self._peppers.get(record.pepper_version if record else self._newest, b"")
        presented = secret_digest(pepper, key)
        if not hmac.compare_digest(presented, record.digest if record else _UNKNOWN_DIGEST) or record is None:
            raise Problem("unauthenticated", "The key is not known here.")
        if record.environment != key.environment:
            raise Problem("unauthenticated", "The key is not known here.")
        if record.revoked:
            raise Problem("unauthenticated", "The key has been revoked.")
        return record


def _caller(record: KeyRecord) -> Caller:
    account = record.account
    return Caller(
        record.public_id,
        account.id,
        record.application_id,
        record.environment,
        record.cost_centre_id,
        account.currency,
        account.timezone,
        account.is_external,
        record.scopes,
        account.subscriptions,
        account.allowances,
        account.test_clock_ns if record.environment == "test" else None,
    )
