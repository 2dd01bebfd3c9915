"""Four eyes: a passport is submitted by one person, and published when another one approves it.

Both tables only grow: a submission never changes, and a review of it is one row. Until the approval the passport that
is on sale stays as it is.
"""

from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from catalog.passport import Passport, check_passport, document_of
from catalog.registry import audit
from catalog.registry.publish import Publication, examine, publish
from catalog.transaction import Transaction, require_transaction
from catalog.vocabulary.ids import new_id
from catalog.vocabulary.problem import FieldError, Problem

REASON_LENGTH_MAX = 500

_LOCK = 0x4F67_5265


class Submission(msgspec.Struct, frozen=True):
    """A submitted passport. `replaces` is the revision then on sale, 0 for none; without `verdict` it waits."""

    id: str
    service: str
    version: str
    replaces: int
    document: dict[str, Any]
    submitted_at: datetime
    submitted_by: str
    verdict: str | None = None
    reason: str | None = None
    revision: int | None = None
    reviewed_at: datetime | None = None
    reviewed_by: str | None = None


_FIND = """
    SELECT s.id, s.service, s.version, s.replaces, s.document, s.submitted_at, s.submitted_by,
           r.verdict, r.reason, r.revision, r.reviewed_at, r.reviewed_by
    FROM catalog.submission s LEFT JOIN catalog.review r ON r.submission_id = s.id
"""


async def submit(
    transaction: Transaction, passport: Passport, built_in: Passport | None, actor: str, now: datetime
) -> Submission | None:
    """Check a passport as `publish` does and keep it for review; None where just that is on sale already.

    The same document against the same revision, while it waits, is one submission however often it is submitted.
    Raises `PassportRefused` as `publish` does; then nothing was written.
    """
    active = await examine(transaction, passport, built_in, now)
    document = document_of(passport)
    if active is not None and document_of(active.passport) == document:
        return None
    replaces = active.revision if active else 0
    for waiting in await submissions(transaction):
        if (waiting.service, waiting.replaces, waiting.document) == (passport.service, replaces, document):
            return waiting
    made = Submission(new_id("review"), passport.service, passport.version, replaces, document, now, actor)
    await transaction.execute(
        """
        INSERT INTO catalog.submission (id, service, version, replaces, document, submitted_at, submitted_by)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        made.id,
        made.service,
        made.version,
        replaces,
        msgspec.json.encode(document).decode(),
        now,
        actor,
    )
    detail = {"submission": made.id, "version": made.version, "replaces": replaces}
    await audit.append(transaction, actor, "service.submit", f"service/{made.service}", detail, now)
    return made


async def submissions(transaction: Transaction, *, decided: bool = False) -> tuple[Submission, ...]:
    """Those that wait for review, oldest first; with `decided` all there ever were."""
    condition = "" if decided else "WHERE r.submission_id IS NULL"
    rows = await transaction.fetch(f"{_FIND} {condition} ORDER BY s.submitted_at, s.id")
    return tuple(_submission(row) for row in rows)


async def find_submission(transaction: Transaction, submission_id: str) -> Submission:
    """The submission of that id; `Problem` not-found otherwise."""
    row = await transaction.fetchrow(f"{_FIND} WHERE s.id = $1", submission_id)
    if row is None:
        raise Problem(
            "not-found",
            f"There is no submission {submission_id!r}; `ordergate review list` shows those that wait.",
        )
    return _submission(row)


async def approve(
    transaction: Transaction, submission_id: str, built_in: Passport | None, actor: str, now: datetime
) -> Publication:
    """Publish what was submitted, checked again in full against the code and the registry of this moment.

    `Problem` forbidden to whoever submitted it; conflict where it was decided, or something else was published for the
    service since. `PassportRefused` where it does not fit any more. Nothing is written then.
    """
    waiting = await _waiting(transaction, submission_id)
    if actor == waiting.submitted_by:
        refusal = f"{actor} submitted {submission_id}: somebody else has to approve it."
        raise Problem(
            "forbidden",
            refusal,
            errors=(FieldError("/submitted_by", "four-eyes", "somebody else has to approve it"),),
        )
    passport = check_passport(waiting.document)
    active = await examine(transaction, passport, built_in, now)
    revision = active.revision if active else 0
    if revision != waiting.replaces:
        raise Problem(
            "conflict",
            f"{waiting.service} has changed from revision {waiting.replaces} to {revision} since it was submitted; "
            f"reject {submission_id} and submit the passport again.",
        )
    done = await publish(transaction, passport, built_in, actor, now)
    await _decide(transaction, waiting, "approved", "", done.revision, actor, now)
    detail = {"submission": waiting.id, "submitted_by": waiting.submitted_by, "revision": done.revision}
    await audit.append(transaction, actor, "service.approve", f"service/{waiting.service}", detail, now)
    return done


async def reject(
    transaction: Transaction, submission_id: str, reason: str, actor: str, now: datetime
) -> Submission:
    """End a submission without publishing it; whoever submitted it may withdraw it so.

    `Problem` invalid-input for a reason that says nothing, conflict where it was decided.
    """
    if not reason.strip() or len(reason) > REASON_LENGTH_MAX:
        error = FieldError("/reason", "length", f"say why in 1 to {REASON_LENGTH_MAX} characters")
        raise Problem("invalid-input", f"{error.pointer}: {error.detail}.", errors=(error,))
    waiting = await _waiting(transaction, submission_id)
    await _decide(transaction, waiting, "rejected", reason.strip(), None, actor, now)
    detail = {"submission": waiting.id, "submitted_by": waiting.submitted_by, "reason": reason.strip()}
    await audit.append(transaction, actor, "service.reject", f"service/{waiting.service}", detail, now)
    return waiting


async def _waiting(transaction: Transaction, submission_id: str) -> Submission:
    require_transaction(transaction)
    # Decisions are one at a time: whoever comes second reads what the first has decided.
    await transaction.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
    found = await find_submission(transaction, submission_id)
    if found.verdict is not None:
        raise Problem("conflict", f"{submission_id} was {found.verdict} by {found.reviewed_by} already.")
    return found


async def _decide(
    transaction: Transaction,
    waiting: Submission,
    verdict: str,
    reason: str,
    revision: int | None,
    actor: str,
    now: datetime,
) -> None:
    await transaction.execute(
        """
        INSERT INTO catalog.review (submission_id, submitted_by, verdict, reason, revision, reviewed_at, reviewed_by)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        waiting.id,
        waiting.submitted_by,
        verdict,
        reason,
        revision,
        now,
        actor,
    )


def _submission(row: asyncpg.Record) -> Submission:
    return Submission(**{**dict(row), "document": msgspec.json.decode(row["document"])})
