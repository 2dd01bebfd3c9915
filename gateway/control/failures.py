"""Every exception of the control plane -> a problem document, or a page for people; no framework's body and no stack trace gets out."""

import logging
from collections.abc import Mapping
from typing import Any

import asyncpg
from asyncpg.exceptions import InternalClientError
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler

from catalog.vocabulary.ids import new_event_id
from catalog.vocabulary.problem import Problem
from gateway.control.context import ControlContext
from gateway.control.pages.refused import refused_page, wants_page
from gateway.edge import too_large
from gateway.refuse import problem_body, retry_headers

log = logging.getLogger(__name__)

_AnyRequest = Request[Any, Any, Any]
_DATABASE_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    InternalClientError,
)
# What Litestar raises by itself, before or around a handler.
_BY_STATUS: Mapping[int, tuple[str, str]] = {
    400: ("malformed-request", "The request could not be read."),
    404: ("not-found", "There is nothing under this path."),
    405: ("method-not-allowed", "This path answers other methods; `Allow` names them."),
    415: ("unsupported-media-type", "Send Content-Type: application/json in UTF-8."),
}


class Failures:
    """The exception handler. `clock` dates the ids by which a failure is found in the log."""

    def __init__(self, context: ControlContext) -> None:
        self._clock = context.clock

    def __call__(self, request: _AnyRequest, error: Exception) -> Response[bytes]:
        """The reply to a request that ended in this exception."""
        instance = f"req_{new_event_id(self._clock.now_ns()).hex}"
        headers: dict[str, str] = {}
        if isinstance(error, Problem):
            problem = error
        elif isinstance(error, HTTPException) and error.status_code == 413:
            problem = too_large(_body_bytes_max(request))
        elif isinstance(error, HTTPException) and error.status_code in _BY_STATUS:
            problem = Problem(*_BY_STATUS[error.status_code])
            if error.status_code == 405:
                headers["allow"] = (error.headers or {})["allow"]
        elif isinstance(error, _DATABASE_AWAY):
            log.warning(
                "a question waits for PostgreSQL",
                extra={"reason": type(error).__name__, "request_id": instance},
            )
            problem = Problem("unavailable", "The books cannot be read just now.", retry_after_s=2)
        else:
            # The route, for what stands in an address may be a sign-in link or a whole key.
            log.error(
                "the control plane failed",
                extra={"request_id": instance, "route": request.scope.get("path_template", "")},
                exc_info=error,
            )
            problem = Problem("internal-error", "The request failed on our side; nothing was changed.")
        if problem.type.status == 401:
            headers["www-authenticate"] = 'Bearer realm="ordergate"'
        headers |= {name.decode(): value.decode() for name, value in retry_headers(problem)}
        headers["cache-control"] = "no-store"
        headers["vary"] = "Accept, Accept-Language"
        if wants_page(request):
            page, headers["content-language"] = refused_page(request, problem, instance)
            return Response(page, status_code=problem.type.status, media_type="text/html", headers=headers)
        return Response(
            problem_body(problem, instance),
            status_code=problem.type.status,
            media_type="application/problem+json",
            headers=headers,
        )


def _body_bytes_max(request: _AnyRequest) -> int:
    """What the path takes."""
    handler = request.route_handler
    assert isinstance(handler, HTTPRouteHandler)
    taken = handler.resolve_request_max_body_size()
    assert taken is not None, "every path has a limit: the control plane's own, or one for itself"
    return taken
