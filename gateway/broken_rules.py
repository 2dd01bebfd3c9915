"""Which rule of HTTP/1.1 the bytes of a request break, as a problem that says what to send instead.

The parser (llhttp) says it in words of its own, which are constants: nothing of the request is in them.
Sources: RFC 9110 section 5.6.2 (tokens) and 8.6 (Content-Length); RFC 9112 sections 2.2, 3, 5, 6 and 7.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from types import MappingProxyType

import httptools

from catalog.vocabulary.problem import FieldError, Problem
from gateway.edge import HEADER_BYTES_MAX, HEADERS_MAX, malformed

# What the parser's words begin with -> the rule, and what to do about it.
_RULES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "Invalid character in Content-Length": (
            "content-length",
            "Content-Length is one whole number in digits, without a sign and not a list",
        ),
        "Duplicate Content-Length": ("content-length", "send Content-Length once"),
        "Content-Length overflow": ("content-length", "Content-Length must fit 64 bits"),
        "Transfer-Encoding can't be present": (
            "framing",
            "send Content-Length or Transfer-Encoding, not both",
        ),
        "Content-Length can't be present": ("framing", "send Content-Length or Transfer-Encoding, not both"),
        "Invalid `Transfer-Encoding`": (
            "transfer-encoding",
            "the only transfer coding is chunked, given once",
        ),
        "Unexpected whitespace after header value": ("header-folded", "write each header field on one line"),
        "Invalid header token": (
            "header-name",
            "header names are letters, digits and hyphens, then the colon",
        ),
        "Invalid header value char": ("header-value", "header values have no control characters"),
        "Invalid character in chunk size": ("chunk", "each chunk begins with its size in hexadecimal digits"),
        "Invalid method": ("method", "a request begins with an HTTP method, such as POST"),
        "Expected CRLF": ("line-end", "lines of the head end with CR LF"),
        "Missing expected LF": ("line-end", "lines of the head end with CR LF"),
        "Missing expected CR": ("line-end", "lines of the head end with CR LF"),
        "Invalid HTTP version": ("version", "HTTP/1.0 and HTTP/1.1 are spoken here"),
        "Expected HTTP/": ("version", "HTTP/1.0 and HTTP/1.1 are spoken here"),
    }
)


def head_too_large() -> Problem:
    """431: header fields that are too many or too long (RFC 6585 section 5)."""
    detail = f"send at most {HEADERS_MAX} header fields, {HEADER_BYTES_MAX} bytes of them together"
    return Problem("head-too-large", f"S{detail[1:]}.", errors=(FieldError("", "head-size", detail),))


def target_too_long(bytes_max: int) -> Problem:
    """414: a request target above `bytes_max` (RFC 9110 section 15.5.15)."""
    detail = f"request targets are at most {bytes_max} bytes"
    return Problem("target-too-long", f"R{detail[1:]}.", errors=(FieldError("", "target-size", detail),))


def check_head(version: str, headers: Sequence[tuple[bytes, bytes]], fields: Mapping[bytes, bytes]) -> None:
    """Refuse what two servers could read in two ways, and more than a head may have. `fields` is the dict of `headers`."""
    if version not in ("1.0", "1.1"):
        raise malformed("version", "HTTP/1.0 and HTTP/1.1 are spoken here")
    if sum(map(len, chain.from_iterable(headers))) > HEADER_BYTES_MAX:
        raise head_too_large()
    if version == "1.1" and b"host" not in fields:
        raise malformed("host", "send Host, once")
    if b"transfer-encoding" in fields and (
        fields[b"transfer-encoding"].lower() != b"chunked" or version == "1.0"
    ):
        raise malformed("transfer-encoding", "the only transfer coding is chunked, in HTTP/1.1")
    if len(fields) < len(headers):
        names = [name for name, _ in headers]
        for name in (b"host", b"transfer-encoding"):
            if names.count(name) > 1:
                raise malformed(name.decode(), f"send {name.decode().title()} once")


def broken_rule(error: httptools.HttpParserError) -> Problem:
    """What the parser, or one of its callbacks, refused."""
    if isinstance(error.__context__, Problem):
        return error.__context__
    if isinstance(error, httptools.HttpParserInvalidURLError) or isinstance(
        error.__context__, httptools.HttpParserInvalidURLError
    ):
        return malformed("target", "the request target is not a path, such as /v1/service/operation")
    words = str(error)
    for beginning, (rule, detail) in _RULES.items():
        if words.startswith(beginning):
            return malformed(rule, detail)
    return malformed("http", f"the bytes are not an acceptable HTTP/1.1 request: {words}")
