"""Calls the address service as the gateway does: schema first, then the handler."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from atomic_services.address import SERVICE
from atomic_services.address.schema import ParseReply, ValidateReply
from atomic_services.contract import CallContext

CONTEXT = CallContext(UUID(int=1), "test", "acct_a", "app_a", datetime(2026, 11, 1, tzinfo=UTC))


def answer(operation: str, /, **request: Any) -> Any:
    """The reply of an operation. The handlers never wait, so one step runs them to their end."""
    chosen = SERVICE.operations[operation]
    running = chosen.run(msgspec.convert(request, chosen.request), CONTEXT).__await__()
    try:
        next(running)
    except StopIteration as finished:
        assert isinstance(finished.value, chosen.reply)
        return finished.value
    raise AssertionError("the address service waited for something")


def call(operation: str, /, **request: Any) -> ValidateReply:
    """The reply of `validate` or `normalise`."""
    reply = answer(operation, **request)
    assert isinstance(reply, ValidateReply)
    return reply


def parse(text: str, **more: Any) -> ParseReply:
    """The reply of `parse`."""
    reply = answer("parse", text=text, **more)
    assert isinstance(reply, ParseReply)
    return reply


def deepest(reply: ParseReply) -> str | None:
    """The code of the smallest division above the towns."""
    codes = [d.code for d in reply.divisions if d.level in ("province", "city", "district")]
    return codes[-1] if codes else None


def rules(reply: ParseReply) -> set[str]:
    """The names of the rules that were found."""
    return {found.rule for found in reply.findings}
