"""The format of API keys: `og_live_<public id>_<secret><checksum>`.

The public id names the key in lists and logs. The secret has 256 bits, so a plain keyed hash protects it: only
HMAC-SHA256 under a versioned pepper is stored, never the key. The checksum (CRC-32) lets a secret scanner and this
server tell a mistyped key from a wrong one without a look-up.
"""

import hmac
import secrets
import string
import zlib

import msgspec

from catalog.vocabulary.ids import Environment

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ALPHABET_BYTES = frozenset(_ALPHABET.encode())
_PUBLIC_ID_LENGTH = 12
_SECRET_LENGTH = 43
_CHECKSUM_LENGTH = 6
_PREFIXES: dict[bytes, Environment] = {b"og_live_": "live", b"og_test_": "test"}
_LENGTH = 8 + _PUBLIC_ID_LENGTH + 1 + _SECRET_LENGTH + _CHECKSUM_LENGTH


class InvalidKey(ValueError):
    """Not of the form of a key, or its checksum is wrong."""


class PresentedKey(msgspec.Struct, frozen=True, gc=False):
    """A well-formed key as a caller sent it. `text` is secret."""

    environment: Environment
    public_id: str
    text: bytes

    def __repr__(self) -> str:
        """Only the public part: a key in a traceback must stay a secret."""
        return f"PresentedKey({self.environment}, {self.public_id})"


def generate_key(environment: Environment) -> PresentedKey:
    """A new key; `text` is shown once and never stored."""
    public_id = _random(_PUBLIC_ID_LENGTH)
    body = f"og_{environment}_{public_id}_{_random(_SECRET_LENGTH)}".encode()
    return PresentedKey(environment, public_id, body + _checksum(body))


def parse_key(text: bytes) -> PresentedKey:
    """The parts of a key; `InvalidKey` for anything that cannot be one."""
    environment = _PREFIXES.get(text[:8])
    if environment is None or len(text) != _LENGTH or text[20:21] != b"_":
        raise InvalidKey
    if not _ALPHABET_BYTES.issuperset(text[8:20]) or not _ALPHABET_BYTES.issuperset(text[21:]):
        raise InvalidKey
    if text[-_CHECKSUM_LENGTH:] != _checksum(text[:-_CHECKSUM_LENGTH]):
        raise InvalidKey
    return PresentedKey(environment, text[8:20].decode("ascii"), text)


def shown_id(environment: Environment, public_id: str) -> str:
    """A key's id as people see it everywhere: how the key begins."""
    return f"og_{environment}_{public_id}"


def secret_digest(pepper: bytes, key: PresentedKey) -> bytes:
    """What is stored and compared: HMAC-SHA256 of the whole key under the pepper."""
    return hmac.digest(pepper, key.text, "sha256")


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(body: bytes) -> bytes:
    value = zlib.crc32(body)
    digits = bytearray(_CHECKSUM_LENGTH)
    for place in range(_CHECKSUM_LENGTH - 1, -1, -1):
        value, digit = divmod(value, 62)
        digits[place] = ord(_ALPHABET[digit])
    return bytes(digits)
