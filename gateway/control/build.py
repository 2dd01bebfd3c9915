"""The control plane: one Litestar application of thin controllers over the doors."""

from collections.abc import MutableSequence
from typing import Any

from litestar import Litestar
from litestar.di import Provide
from litestar.types import (
    HTTPResponseStartEvent,
    LifeSpanReceive,
    LifeSpanScope,
    LifeSpanSend,
    Message,
    Receive,
    Scope,
    Send,
)

from atomic_services import registry
from gateway.control import api, documents, health, webhooks
from gateway.control.asking import provide_caller
from gateway.control.books import Books
from gateway.control.context import ControlContext
from gateway.control.failures import Failures
from gateway.control.pages import routes as pages
from gateway.control.pages.visit import provide_visit
from gateway.control.published import PublishedContracts
from gateway.control.sign_in import routes as sign_in

BODY_BYTES_MAX = 16 * 1024

# Pages have no script and nothing from elsewhere, so nothing of that may run in them; their forms stay here.
_SECURITY_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'self'; img-src 'self' data:; frame-ancestors 'none'; "
        b"base-uri 'none'; form-action 'self'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class ControlPlane(Litestar):
    """Litestar, which by itself does not answer HEAD: the server sends a GET's headers and drops its body."""

    books: Books

    async def __call__(
        self,
        scope: Scope | LifeSpanScope,
        receive: Receive | LifeSpanReceive,
        send: Send | LifeSpanSend,
    ) -> None:
        """The ASGI entry point."""
        asked: Any = scope
        if asked.get("method") == "HEAD":
            asked = {**asked, "method": "GET"}
        await super().__call__(asked, receive, send)

    async def close(self) -> None:
        """Give the connections back that questions have opened."""
        await self.books.close()


def build_control(context: ControlContext) -> ControlPlane:
    """The application for everything that is not a metered call."""
    books = Books(context.reader, context.pool)
    contracts = PublishedContracts(registry.operations(), api.ENDPOINTS)
    public_pages = pages.PublicPages(context, contracts)
    plane = ControlPlane(
        route_handlers=[
            health.healthz,
            health.readyz,
            health.metrics,
            *api.HANDLERS,
            *webhooks.HANDLERS,
            *documents.HANDLERS,
            *pages.HANDLERS,
            *sign_in.HANDLERS,
        ],
        dependencies={
            "context": Provide(lambda: context, sync_to_thread=False, use_cache=True),
            "books": Provide(lambda: books, sync_to_thread=False, use_cache=True),
            "contracts": Provide(lambda: contracts, sync_to_thread=False, use_cache=True),
            "caller": Provide(provide_caller, sync_to_thread=False),
            "pages": Provide(lambda: public_pages, sync_to_thread=False, use_cache=True),
            "visit": Provide(provide_visit, sync_to_thread=False),
        },
        exception_handlers={Exception: Failures(context)},
        before_send=[_add_security_headers],
        request_max_body_size=BODY_BYTES_MAX,
        openapi_config=None,
        logging_config=None,
        debug=False,
    )
    plane.books = books
    return plane


async def _add_security_headers(message: Message, _scope: Scope) -> None:
    if message["type"] == "http.response.start":
        _headers_of(message).extend(_SECURITY_HEADERS)


def _headers_of(message: HTTPResponseStartEvent) -> MutableSequence[tuple[bytes, bytes]]:
    headers = list(message["headers"])
    message["headers"] = headers
    return headers
