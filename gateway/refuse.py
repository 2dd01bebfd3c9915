"""Any problem -> problem+json (RFC 9457): the only place where an error becomes a reply."""

import msgspec

from catalog.vocabulary.money import encode_decimal
from catalog.vocabulary.problem import Problem
from gateway.transport import Reply

_encoder = msgspec.json.Encoder(enc_hook=encode_decimal)


def problem_body(problem: Problem, instance: str) -> bytes:
    """The problem document; `instance` is the call's id, to quote in a question."""
    kind = problem.type
    document: dict[str, object] = {
        "type": f"/problems/{kind.name}",
        "title": kind.title.en,
        "status": kind.status,
        "detail": problem.detail,
        "instance": instance,
        "remedy": kind.remedy.en,
    }
    if problem.errors:
        document["errors"] = problem.errors
    return _encoder.encode({**document, **problem.extra})


def retry_headers(problem: Problem) -> list[tuple[bytes, bytes]]:
    """`Retry-After` in seconds, where the problem knows when to come back."""
    if problem.retry_after_s is None:
        return []
    return [(b"retry-after", str(problem.retry_after_s).encode())]


def refuse(problem: Problem, instance: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
    """The reply to a request that never became a metered call."""
    lines = [
        (b"content-type", b"application/problem+json"),
        (b"ordergate-call-id", instance.encode()),
        *headers,
        *retry_headers(problem),
    ]
    if problem.type.status == 401:
        lines.append((b"www-authenticate", b'Bearer realm="ordergate"'))
    if problem.type.status == 405:
        lines.append((b"allow", b"POST"))
    return Reply(problem.type.status, lines, problem_body(problem, instance))
