"""Refusals in the form in which Stripe's API writes them."""

from typing import Any


class ApiError(Exception):
    """A refusal. `stored`: execution had begun, so the same idempotency key answers it again."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type_: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        stored: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.stored = stored
        error = {"type": type_, "message": message, "code": code, "param": param}
        self.body: dict[str, Any] = {
            "error": {name: value for name, value in error.items() if value is not None}
        }


def invalid(message: str, param: str, code: str = "parameter_invalid") -> ApiError:
    """A parameter that cannot be used: found before execution, so nothing is stored."""
    return ApiError(400, message, code=code, param=param)


def missing(kind: str, object_id: str, param: str = "id") -> ApiError:
    """There is no such object."""
    return ApiError(
        404 if param == "id" else 400,
        f"No such {kind}: '{object_id}'",
        code="resource_missing",
        param=param,
        stored=True,
    )


def not_now(message: str, code: str | None = None) -> ApiError:
    """The object's state does not allow it."""
    return ApiError(400, message, code=code, stored=True)
