"""/api/webhooks: what foreign systems tell us. They sign what they send; no key of an account is involved."""

from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency

from catalog.vocabulary.problem import Problem
from gateway.control.books import Books
from gateway.control.context import ControlContext

# An event carries the whole object that it is about, an invoice with its first lines, for example.
_BODY_BYTES_MAX = 512 * 1024
# Events have no account before somebody has looked them up; nothing that has one is in this scope.
_NO_ACCOUNT = ""


@post(
    "/api/webhooks/stripe",
    name="stripe_webhook",
    include_in_schema=False,
    request_max_body_size=_BODY_BYTES_MAX,
)
async def stripe_webhook(
    request: Request[Any, Any, Any],
    context: NamedDependency[ControlContext],
    books: NamedDependency[Books],
) -> Response[bytes]:
    """Stored, or stored before: 200. Stripe repeats everything else for three days."""
    if context.inbox is None:
        raise Problem("not-found", "No payment provider is configured here.")
    body = await request.body()
    async with books.write(_NO_ACCOUNT) as transaction:
        await context.inbox.accept(transaction, body, request.headers.get("stripe-signature"))
    return Response(b"", status_code=200)


HANDLERS = (stripe_webhook,)
