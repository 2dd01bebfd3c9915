"""Why a month has no call that a result could be booked on, each reason with what to do about it."""

from billing.result.month import StatedMonth
from billing.transaction import Connection
from catalog.vocabulary.alike import closest_operation
from catalog.vocabulary.problem import FieldError, Problem

_SOLD = "SELECT operation, array_agg(DISTINCT model ORDER BY model) AS models FROM catalog.price_version GROUP BY operation"
_USED = """
    SELECT array_agg(DISTINCT model ORDER BY model) FROM billing.usage_event AS event
    JOIN catalog.price_version AS price ON price.id = event.price_version
    WHERE event.account_id = $1 AND event.payer = $1 AND event.environment = $2 AND event.operation = $3
      AND event.id >= $4 AND event.id < $5 AND event.occurred_at >= $6 AND event.occurred_at < $7
      AND event.class = 'ok' AND event.amends IS NULL
"""


async def unbooked(connection: Connection, month: StatedMonth, operation: str) -> Problem:
    """Of an operation without an answered call under an `outcome` price in the month: invalid-input where there is no such
    operation, conflict where its price is of another model, or where there was no answered call at all."""
    sold: dict[str, list[str]] = {row["operation"]: row["models"] for row in await connection.fetch(_SOLD)}
    if operation not in sold:
        meant = closest_operation(operation, sold)
        detail = f"there is no operation {operation!r}" + (f"; did you mean `{meant}`?" if meant else "")
        error = FieldError("/operation", "reference", detail)
        return Problem("invalid-input", f"{error.pointer}: {detail}.", errors=(error,))
    used: list[str] | None = await connection.fetchval(
        _USED, month.account_id, month.environment, operation, *month.ids, *month.bounds
    )
    models = used or ([] if "outcome" in sold[operation] else sold[operation])
    if models:
        return Problem(
            "conflict",
            f"The price of {operation} is {' and '.join(f'`{model}`' for model in models)}, under which calls are billed: a "
            "result is stated only of an operation that was called under an `outcome` price.",
        )
    return Problem(
        "conflict",
        f"{month.account_id} has no answered call of {operation} in the {month.environment} {month.period}; a result is booked "
        "on such a call: name the month of one, or state the result once there is one.",
    )
