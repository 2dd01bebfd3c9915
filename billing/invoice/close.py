"""Month close: final rating, then the document, account by account."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import asyncpg
import msgspec

from billing.cut import PATIENCE_S, LagStays, take_cut, wait_until_taken
from billing.invoice.credit import credit_months
from billing.invoice.draft import Draft
from billing.invoice.issue import issue, missing_profile
from billing.invoice.month import Month, lock_books, payer_of, period_of
from billing.invoice.rating import rate_month
from billing.rate import UsageError
from billing.transaction import Connection, all_accounts
from catalog.vocabulary.clock import Clock, from_ns
from catalog.vocabulary.ids import ENVIRONMENTS, Environment
from catalog.vocabulary.period import Period


class IssuedDocument(msgspec.Struct, frozen=True):
    """A document that this close issued."""

    account_id: str
    environment: Environment
    period: str
    number: str
    currency: str
    total: Decimal


class LeftDraft(msgspec.Struct, frozen=True):
    """A document that could not be issued: which billing details are missing, or which price cannot be rated."""

    account_id: str
    environment: Environment
    period: str
    missing: tuple[str, ...] = ()
    reason: str = ""


class NotEnded(msgspec.Struct, frozen=True):
    """An account for which the month is not over, when it will be (UTC), and how many drafts it has of it so far."""

    account_id: str
    timezone: str
    ends_at: datetime
    drafts: int


class CloseReport(msgspec.Struct, frozen=True):
    """What one close did. `already_issued` counts documents of the period that were there before."""

    period: str
    issued: tuple[IssuedDocument, ...]
    already_issued: int
    left_draft: tuple[LeftDraft, ...]
    not_ended: tuple[NotEnded, ...]


async def close_recorded(
    pool: asyncpg.Pool,
    journals_root: Path,
    period: Period,
    *,
    clock: Clock,
    sleep: Callable[[float], Awaitable[object]],
    drive: Callable[[], Awaitable[object]] | None = None,
    notice: Callable[[str], object] | None = None,
    patience_s: float = PATIENCE_S,
) -> CloseReport:
    """`close` with every call that was recorded before this one: waits until all of them are shipped and rolled up.

    Any unshipped record may be of the period, so all are waited for. Raises `LagStays`, with nothing closed, where
    they are not there after `patience_s`; `drive` and `notice` as in `wait_until_taken`. Raises `JournalDamaged`.
    """
    cut = await take_cut(pool, journals_root)
    lag = await wait_until_taken(
        pool, journals_root, cut, clock=clock, sleep=sleep, patience_s=patience_s, drive=drive, notice=notice
    )
    if lag:
        raise LagStays(lag, patience_s)
    return await close(pool, period, clock)


async def close(pool: asyncpg.Pool, period: Period, clock: Clock) -> CloseReport:
    """Issue every account's documents up to and including `period` from what is rolled up; accounts without usage get none.

    An account whose month has not ended on its own calendar is refused, and an external one that lacks billing
    details keeps its draft; the report says so. A month that was left open earlier is closed first, so that an
    account's documents come in the order of their months. One transaction per account and environment: a close that
    was stopped anywhere is simply repeated, and closers that run at once wait for each other account by account.
    """
    issued: list[IssuedDocument] = []
    left: list[LeftDraft] = []
    not_ended: list[NotEnded] = []
    async with all_accounts(pool) as connection:
        rows = await connection.fetch("SELECT id FROM catalog.account ORDER BY id")
        payers = [await payer_of(connection, row["id"]) for row in rows]
        already = await _count_issued(connection, period)
        open_drafts = await _count_drafts(connection, period)
    for payer in payers:
        ends_at = payer.ends_at(period)
        if from_ns(clock.now_ns()) < ends_at:
            not_ended.append(NotEnded(payer.id, payer.timezone, ends_at, open_drafts.get(payer.id, 0)))
            continue
        for environment in ENVIRONMENTS:
            try:
                async with all_accounts(pool) as connection:
                    now = from_ns(clock.now_ns())
                    one_issued, one_left = await _close_account(
                        connection, payer.id, environment, period, now
                    )
            except UsageError as error:
                left.append(LeftDraft(payer.id, environment, str(period), reason=str(error)))
                continue
            issued.extend(one_issued)
            left.extend(one_left)
    return CloseReport(str(period), tuple(issued), already, tuple(left), tuple(not_ended))


async def _close_account(
    connection: Connection, account_id: str, environment: Environment, period: Period, now: datetime
) -> tuple[list[IssuedDocument], list[LeftDraft]]:
    await lock_books(connection, account_id, environment)
    payer = await payer_of(connection, account_id)
    # Latest first: what is late for an issued month then finds the draft of this one.
    for month in await _open_months(connection, account_id, environment, period):
        await rate_month(connection, payer, month, now)
    await credit_months(connection, payer, environment, period, now)
    drafts = await _drafts(connection, account_id, environment, period)
    if missing := missing_profile(payer):
        await _note_missing(connection, drafts, missing)
        return [], [LeftDraft(account_id, environment, str(draft.period), missing) for draft in drafts]
    issued = []
    for draft in drafts:
        document = await issue(connection, payer, environment, draft, now)
        issued.append(
            IssuedDocument(
                account_id, environment, str(draft.period), document.number, document.currency, document.total
            )
        )
    return issued, []


async def _open_months(
    connection: Connection, account_id: str, environment: Environment, period: Period
) -> list[Month]:
    """The months up to this one that have usage to rate or a draft, latest first."""
    # All marks at once and in the order in which the roll-up sets them, or the two could wait for each other.
    await connection.execute(
        "SELECT FROM billing.unrated WHERE account_id = $1 AND environment = $2 AND period <= $3 "
        "ORDER BY period FOR UPDATE",
        account_id,
        environment,
        period.first_day,
    )
    rows = await connection.fetch(
        "SELECT period FROM billing.unrated WHERE account_id = $1 AND environment = $2 AND period <= $3 UNION "
        "SELECT period FROM billing.invoice "
        "WHERE account_id = $1 AND environment = $2 AND period <= $3 AND state = 'draft' ORDER BY period DESC",
        account_id,
        environment,
        period.first_day,
    )
    return [Month(account_id, environment, period_of(row["period"])) for row in rows]


async def _drafts(
    connection: Connection, account_id: str, environment: Environment, period: Period
) -> list[Draft]:
    rows = await connection.fetch(
        "SELECT id, period FROM billing.invoice "
        "WHERE account_id = $1 AND environment = $2 AND period <= $3 AND state = 'draft' ORDER BY period",
        account_id,
        environment,
        period.first_day,
    )
    return [Draft(row["id"], period_of(row["period"])) for row in rows]


async def _note_missing(connection: Connection, drafts: Sequence[Draft], missing: Sequence[str]) -> None:
    await connection.execute(
        "UPDATE billing.invoice SET missing = $2 WHERE id = ANY($1) AND missing <> $2",
        [draft.id for draft in drafts],
        list(missing),
    )


async def _count_issued(connection: Connection, period: Period) -> int:
    count: int = await connection.fetchval(
        "SELECT count(*) FROM billing.invoice WHERE period = $1 AND state = 'issued'", period.first_day
    )
    return count


async def _count_drafts(connection: Connection, period: Period) -> Mapping[str, int]:
    rows = await connection.fetch(
        "SELECT account_id, count(*) AS drafts FROM billing.invoice "
        "WHERE period = $1 AND state = 'draft' GROUP BY account_id",
        period.first_day,
    )
    return {row["account_id"]: row["drafts"] for row in rows}
