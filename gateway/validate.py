"""Admission + bytes -> ValidCall: the body is what the operation's schema asks for."""

from collections.abc import Mapping
from hashlib import sha256

from atomic_services.contract import Operation
from catalog.vocabulary.problem import FieldError, Problem
from catalog.vocabulary.strict_json import convert, decode_json
from gateway.edge import too_large
from gateway.proofs import Admission, ValidCall
from gateway.transport import RawRequest

_KEY_LENGTH_MAX = 255


def validate(admission: Admission, raw: RawRequest, operations: Mapping[str, Operation]) -> ValidCall:
    """Decode and check the body and the idempotency key; `Problem` names field, rule and remedy."""
    operation = admission.permit.operation
    entry = operation.entry
    if len(raw.body) > entry.max_body_bytes:
        raise too_large(entry.max_body_bytes, operation.id)
    request = convert(decode_json(raw.body), operations[operation.id].request)
    if entry.idempotency == "not_needed":
        return ValidCall(admission, request, None, b"")
    key = _idempotency_key(raw)
    if key is None and entry.idempotency == "required":
        raise Problem(
            "idempotency-key-missing", f"{operation.id} changes state and needs an Idempotency-Key."
        )
    return ValidCall(admission, request, key, sha256(raw.body).digest())


def _idempotency_key(raw: RawRequest) -> str | None:
    values = [value for name, value in raw.head.headers if name == b"idempotency-key"]
    if not values:
        return None
    key = values[0].strip(b" \t")
    # The draft writes it as a quoted string; many clients send it bare. Any other quote is a part of the key.
    if len(key) > 2 and key[:1] == key[-1:] == b'"':
        key = key[1:-1]
    if (
        len(values) > 1
        or not 1 <= len(key) <= _KEY_LENGTH_MAX
        or not all(0x21 <= byte <= 0x7E for byte in key)
    ):
        detail = f"send it once, 1 to {_KEY_LENGTH_MAX} visible ASCII characters"
        raise Problem(
            "malformed-request",
            "The Idempotency-Key is not usable.",
            errors=(FieldError("", "idempotency-key", detail),),
        )
    return key.decode("ascii")
