"""Month close: final rating, then the document, account by account."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import asyncpg
import msgspec

from billing.cut import PATIENCE_S, LagStays, take_cut, wait_until_taken
from billing.invoice.close_account import IssuedDocument, LeftDraft, close_account, read_agreed
from billing.invoice.guard import Books
from billing.invoice.month import Payer, all_payers
from billing.invoice.transfer import transfer_older
from billing.prepaid.apply import CreditHeld
from billing.rate import UsageError
from billing.result.open import open_results
from billing.transaction import Connection, all_accounts, every_account
from catalog.vocabulary.clock import Clock, from_ns
from catalog.vocabulary.counted import counted
from catalog.vocabulary.ids import ENVIRONMENTS
from catalog.vocabulary.period import Period

Progress = Callable[[int, int], object]
"""Told how many accounts are done, and of how many."""


class NotEnded(msgspec.Struct, frozen=True):
    """An account for which the month is not over, when it will be (UTC), and how many drafts it has of it so far."""

    account_id: str
    timezone: str
    ends_at: datetime
    drafts: int


class CloseReport(msgspec.Struct, frozen=True):
    """What one close did. `already_issued` counts documents of the period that were there before; `warnings` say in words
    what the documents that it issued lack."""

    period: str
    issued: tuple[IssuedDocument, ...]
    already_issued: int
    left_draft: tuple[LeftDraft, ...]
    not_ended: tuple[NotEnded, ...]
    warnings: tuple[str, ...] = ()


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
    progress: Progress | None = None,
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
    return await close(pool, period, clock, progress)


async def close(
    pool: asyncpg.Pool, period: Period, clock: Clock, progress: Progress | None = None
) -> CloseReport:
    """Issue every account's documents up to and including `period` from what is rolled up; accounts without usage get
    none, unless their contract costs something by itself.

    An account whose month has not ended on its own calendar is refused (its sandbox's, by the sandbox's own clock). One
    that lacks billing details, whose invoice would name the demo's seller, or whose bill is unusual keeps its draft; the
    report says so. A month that was left open earlier is closed first, so that an account's documents come in the order
    of their months. One transaction per account and environment: a close that was stopped anywhere is simply repeated,
    and closers that run at once wait for each other account by account.
    """
    issued: list[IssuedDocument] = []
    left: list[LeftDraft] = []
    async with all_accounts(pool) as connection:
        payers = await all_payers(connection)
        agreed = await read_agreed(connection, period)
        already = await _count_issued(connection, period)
        open_books = await _open_books(connection, period)
        so_far = await _count_drafts(connection, period)
        by_id = {payer.id: payer for payer in payers}
        await transfer_older(connection, by_id, agreed.deliveries, from_ns(clock.now_ns()))
    not_ended = [
        NotEnded(payer.id, payer.timezone, payer.ends_at(period), so_far.get(payer.id, 0))
        for payer in payers
        if from_ns(clock.now_ns()) < payer.ends_at(period)
    ]
    due = [
        (payer, environment)
        for payer in payers
        for environment in ENVIRONMENTS
        if payer.ends_at(period) <= payer.now_in(environment, from_ns(clock.now_ns()))
        and ((payer.id, environment) in open_books or (environment == "live" and agreed.terms.of(payer.id)))
    ]
    async with pool.acquire() as connection:
        for done, (payer, environment) in enumerate(due):
            if progress is not None:
                progress(done, len(due))
            try:
                async with every_account(connection):
                    now = payer.now_in(environment, from_ns(clock.now_ns()))
                    documents, drafts = await close_account(
                        connection, payer, environment, period, agreed, now
                    )
            except (UsageError, CreditHeld) as error:
                agreed.judged.ended(committed=False)
                left.append(LeftDraft(payer.id, environment, str(period), reason=str(error)))
                continue
            agreed.judged.ended(committed=True)
            issued.extend(documents)
            left.extend(drafts)
    if progress is not None:
        progress(len(due), len(due))
    invoices = [one for one in issued if by_id[one.account_id].kind == "external"]
    warnings = (_warning(invoices),) if invoices and agreed.seller is None else ()
    waiting = await _open_results(
        pool, period, {(payer.id, environment) for payer, environment in due}, by_id
    )
    return CloseReport(
        str(period), tuple(issued), already, tuple(left), tuple(not_ended), (*warnings, *waiting)
    )


async def _open_results(
    pool: asyncpg.Pool, period: Period, closed: Collection[Books], payers: Mapping[str, Payer]
) -> list[str]:
    # No reason to leave a draft: a result that is accepted later stands on a later document.
    async with all_accounts(pool) as connection:
        return [
            f"{_results(one.results, f'{one.environment} {period}', payers[one.account_id].name)} (`ordergate result list`)."
            for one in await open_results(connection, period)
            if (one.account_id, one.environment) in closed
        ]


def _results(count: int, month: str, payer: str) -> str:
    if count == 1:
        return f"1 result of the {month} waits for {payer}'s acceptance: its document is without it, and it follows on a later one"
    return (
        f"{count} results of the {month} wait for {payer}'s acceptance: "
        "its document is without them, and they follow on a later one"
    )


def _warning(invoices: Sequence[IssuedDocument]) -> str:
    told = counted(len(invoices), "invoice to another company names", "invoices to other companies name")
    # Not a reason to leave drafts: installations that were closing months before there was a seller go on doing so.
    return (
        f"{told} ({invoices[0].number} the first) no seller, no tax id and no due "
        "date: say who issues with `ordergate seller profile`; what is issued stays as it is."
    )


async def _open_books(connection: Connection, period: Period) -> frozenset[Books]:
    """Whose months up to this one have usage to rate or a draft."""
    rows = await connection.fetch(
        "SELECT account_id, environment FROM billing.unrated WHERE period <= $1 UNION "
        "SELECT account_id, environment FROM billing.invoice WHERE period <= $1 AND state = 'draft'",
        period.first_day,
    )
    return frozenset((row["account_id"], row["environment"]) for row in rows)


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
