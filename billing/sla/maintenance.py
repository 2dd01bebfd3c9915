"""Maintenance that is announced ahead: who said when that a service would be away."""

from datetime import datetime

import msgspec

from billing.sla.availability import interval_of
from billing.transaction import Connection
from catalog.registry import audit
from catalog.vocabulary.clock import rfc3339
from catalog.vocabulary.ids import new_id
from catalog.vocabulary.problem import FieldError, Problem


class Maintenance(msgspec.Struct, frozen=True):
    """A window, end-exclusive, of a service or of one operation (`customs/screen`)."""

    id: str
    service: str
    operation: str | None
    starts_at: str
    ends_at: str
    reason: str
    announced_at: str
    announced_by: str


async def announce_maintenance(
    transaction: Connection,
    subject: str,
    starts_at: datetime,
    ends_at: datetime,
    reason: str,
    actor: str,
    now: datetime,
) -> Maintenance:
    """Keep a window for `customs` or `customs/screen`. What is announced stays announced.

    `Problem` invalid-input for a window that has begun, ends before it starts or is not whole five minutes, which is what
    availability is counted in; not-found for a service or an operation that is not published.
    """
    if starts_at <= now:
        raise _refused(
            "starts_at", "announced-ahead", "a window counts only if it is announced before it starts"
        )
    if ends_at <= starts_at:
        raise _refused("ends_at", "order", "the window ends after it starts")
    for name, moment in (("starts_at", starts_at), ("ends_at", ends_at)):
        if interval_of(moment) != moment:
            raise _refused(name, "five-minutes", "windows begin and end at whole five minutes")
    service, _, name = subject.partition("/")
    published = await transaction.fetchval(
        "SELECT EXISTS (SELECT FROM catalog.passport WHERE service = $1 AND ($2 = '' OR EXISTS "
        "(SELECT FROM jsonb_array_elements(document -> 'operations') AS entry WHERE entry ->> 'id' = $2)))",
        service,
        name,
    )
    if not published:
        raise Problem("not-found", f"Nothing is published under {subject!r}.")
    made = Maintenance(
        new_id("mw"),
        service,
        subject if name else None,
        rfc3339(starts_at),
        rfc3339(ends_at),
        reason,
        rfc3339(now),
        actor,
    )
    await transaction.execute(
        "INSERT INTO billing.maintenance (id, service, operation, starts_at, ends_at, reason, announced_at, announced_by) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        made.id,
        service,
        made.operation,
        starts_at,
        ends_at,
        reason,
        now,
        actor,
    )
    detail = {"id": made.id, "starts_at": made.starts_at, "ends_at": made.ends_at, "reason": reason}
    await audit.append(transaction, actor, "maintenance.announce", f"service/{subject}", detail, now)
    return made


def _refused(name: str, rule: str, detail: str) -> Problem:
    return Problem("invalid-input", f"/{name}: {detail}.", errors=(FieldError(f"/{name}", rule, detail),))
