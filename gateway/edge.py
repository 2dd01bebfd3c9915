"""The strict first layer: what bytes may even become a call.

Everything here is decided before anybody is authenticated, so it costs little and says little.
Sources: RFC 9112 (framing, Host), RFC 9110 5.5 (field values), and the smuggling cases of `tests/contract/test_http_protocol.py`.
"""

import re
import string
from collections.abc import Mapping
from operator import itemgetter

from catalog.sla import PROBE_AGENT
from catalog.vocabulary.problem import FieldError, Problem
from gateway.transport import Headers, RawRequest, RequestHead

BODY_MAX = 1024 * 1024
HEADERS_MAX = 64
HEADER_BYTES_MAX = 16 * 1024
_PATH = re.compile(rb"/v[1-9]\d{0,3}/[a-z0-9-]{1,40}/[a-z0-9-]{1,40}")
_NAME_BYTES = (string.ascii_letters + string.digits + "!#$%&'*+.^`|~-").encode()
_VALUE_FORBIDDEN = bytes(byte for byte in (*range(0x20), 0x7F) if byte != 0x09)
_ONCE = (b"host", b"content-type", b"authorization", b"content-length")
_PROBE_AGENT = PROBE_AGENT.encode()
_JSON_TYPE = re.compile(rb"application/json *(; *charset=\"?utf-8\"? *)?", re.IGNORECASE)


def is_call_path(raw_path: bytes) -> bool:
    """Whether a path belongs to the metered surface: `/v`, then a digit."""
    return raw_path[:2] == b"/v" and raw_path[2:3].isdigit()


def is_json(content_type: bytes) -> bool:
    """Whether a Content-Type says JSON in UTF-8 and nothing else."""
    return content_type == b"application/json" or _JSON_TYPE.fullmatch(content_type) is not None


def is_probe(request: RawRequest) -> bool:
    """Whether this says that it is the outside probe. Anybody may: without a credential it is turned away all the same."""
    head = request.head
    return head.header(b"user-agent") == _PROBE_AGENT and head.header(b"authorization") is None


def check(request: RawRequest) -> Mapping[bytes, bytes]:
    """Refuse what is not one well-formed POST of JSON to a canonical path; answers its header fields by name."""
    head = request.head
    if (fields := head.fields) is None:
        fields = head.fields = _checked(head)
    if len(request.body) > BODY_MAX:
        raise too_large(BODY_MAX)
    return fields


def _checked(head: RequestHead) -> Mapping[bytes, bytes]:
    if head.method != "POST":
        raise Problem("method-not-allowed", f"Operations are called with POST, not {head.method[:16]}.")
    _check_path(head.raw_path)
    return _checked_fields(head.headers)


def _check_path(raw_path: bytes) -> None:
    if b"?" in raw_path:
        raise Problem(
            "malformed-request", "Operations take no query parameters; put the input into the body."
        )
    if not _PATH.fullmatch(raw_path):
        raise Problem("unknown-operation", "The path is not of the form /v1/service/operation.")


def _checked_fields(headers: Headers) -> Mapping[bytes, bytes]:
    fields = dict(headers)
    has_repeats = len(fields) < len(headers)
    if b"content-encoding" in fields:
        raise Problem("unsupported-media-type", "Send the body without Content-Encoding.")
    if b"" in fields or b"".join(fields).translate(None, _NAME_BYTES):
        raise malformed("header-name", "header names have letters, digits and hyphens, no underscore")
    values = b"".join(map(itemgetter(1), headers) if has_repeats else fields.values())
    if len(values.translate(None, _VALUE_FORBIDDEN)) != len(values):
        raise malformed("header-value", "header values have no control characters")
    if b"host" not in fields or (has_repeats and _repeats(headers)):
        raise malformed(
            "header-repeated",
            "send one Host and one Content-Type, at most one Authorization and Content-Length",
        )
    if not is_json(fields.get(b"content-type", b"")):
        raise Problem("unsupported-media-type", "Send Content-Type: application/json in UTF-8.")
    return fields


def _repeats(headers: Headers) -> bool:
    names = [name for name, _ in headers]
    return any(names.count(name) > 1 for name in _ONCE)


def malformed(rule: str, detail: str) -> Problem:
    """`malformed-request` that names the rule; `detail` says what to do, without a full stop."""
    return Problem(
        "malformed-request", f"{detail[0].upper()}{detail[1:]}.", errors=(FieldError("", rule, detail),)
    )


def too_large(bytes_max: int, operation: str | None = None) -> Problem:
    """413: a body above the `bytes_max` that are taken, by one operation or by the path."""
    whose = "" if operation is None else f" of {operation}"
    detail = f"bodies{whose} are at most {bytes_max} bytes"
    return Problem("too-large", f"B{detail[1:]}.", errors=(FieldError("", "size", detail),))
