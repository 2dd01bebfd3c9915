"""One account's part of a close, in the caller's transaction: rate, credit, settle, then issue or say why not."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from billing.invoice.calendar import ClosePolicy, close_policies
from billing.invoice.credit import Judged, credit_months
from billing.invoice.dispute_hold import hold_from_issue
from billing.invoice.draft import Draft
from billing.invoice.guard import UNUSUAL, Books, earlier_totals, is_unusual
from billing.invoice.issue import SummedUp, issue, missing_for_issue, sum_up
from billing.invoice.month import AccountKind, Month, Payer, lock_books, period_of
from billing.invoice.net_credit import bring_to_nothing, credit_net
from billing.invoice.rating import rate_month
from billing.invoice.settle import open_charged_months, settle_months
from billing.invoice.standing import waits_because
from billing.invoice.terms import AgreedTerms, read_terms
from billing.invoice.transfer import Deliveries, transfer_document
from billing.transaction import Connection
from catalog.accounts.seller import NamedSeller, named_seller
from catalog.vocabulary.ids import Environment
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
    """A document that was not issued: which billing details are missing, the payer's or its `seller`, or the reason;
    `amount` of an unusual one. It is not `due` where a calendar says so."""

    account_id: str
    environment: Environment
    period: str
    missing: tuple[str, ...] = ()
    reason: str = ""
    amount: Decimal | None = None
    due: bool = True


class Agreed(msgspec.Struct, frozen=True):
    """What a close reads once for all accounts: their terms, their last totals, the judgements as they are made, who
    delivers the services, by which calendars documents are issued, and who is named as their seller."""

    terms: AgreedTerms
    earlier: Mapping[Books, list[tuple[Period, Decimal]]]
    judged: Judged
    deliveries: Deliveries
    calendars: Mapping[AccountKind, ClosePolicy]
    seller: NamedSeller | None


async def read_agreed(connection: Connection, period: Period, account_id: str | None = None) -> Agreed:
    """What the close of a month needs to know of one account or of all."""
    return Agreed(
        await read_terms(connection, None if account_id is None else [account_id]),
        await earlier_totals(connection, period, account_id),
        Judged(),
        Deliveries(),
        await close_policies(connection),
        await named_seller(connection),
    )


async def close_account(
    connection: Connection,
    payer: Payer,
    environment: Environment,
    period: Period,
    agreed: Agreed,
    now: datetime,
    approved: Period | None = None,
) -> tuple[list[IssuedDocument], list[LeftDraft]]:
    """Close the months of one account up to and including `period`; the caller commits.

    The document of the month `approved` is issued whatever it comes to. `UsageError` where a price cannot be rated.
    """
    await lock_books(connection, payer.id, environment)
    await open_charged_months(connection, payer, environment, period, agreed.terms, now)
    # Latest first: what is late for an issued month then finds the draft of this one.
    for month in await _open_months(connection, payer.id, environment, period):
        await rate_month(connection, payer, month, now)
    await credit_months(connection, payer, environment, period, agreed.judged, now)
    drafts = await _drafts(connection, payer.id, environment, period)
    months = [draft.period for draft in drafts]
    await settle_months(connection, payer, environment, period, months, agreed.terms, now)
    if missing := missing_for_issue(payer, environment, agreed.seller):
        await _note_missing(connection, drafts, missing)
        return [], [LeftDraft(payer.id, environment, str(draft.period), missing) for draft in drafts]
    return await _issue(connection, payer, environment, drafts, agreed, now, approved)


async def _issue(
    connection: Connection,
    payer: Payer,
    environment: Environment,
    drafts: Sequence[Draft],
    agreed: Agreed,
    now: datetime,
    approved: Period | None,
) -> tuple[list[IssuedDocument], list[LeftDraft]]:
    """Issue drafts in the order of their months; the first one that is held keeps the later ones waiting."""
    earlier = dict(agreed.earlier.get((payer.id, environment), ()))
    issued: list[IssuedDocument] = []
    for place, draft in enumerate(drafts):
        summed = await sum_up(connection, draft)
        before = [total for month, total in sorted(earlier.items()) if month < draft.period]
        if draft.period != approved and is_unusual(summed.total, before):
            await _hold(connection, draft)
            return issued, _held(payer, environment, summed, drafts[place + 1 :])
        if reason := waits_because(payer, draft.period, agreed.calendars.get(payer.kind), now):
            return issued, [
                LeftDraft(payer.id, environment, str(one.period), reason=reason, due=False)
                for one in drafts[place:]
            ]
        await transfer_document(
            connection, payer, environment, draft.id, draft.period, agreed.deliveries, now
        )
        summed, credits_ = await bring_to_nothing(connection, payer, environment, summed, now)
        terms = agreed.terms.month(payer, draft.period)
        document = await issue(connection, payer, environment, summed, terms, now)
        await credit_net(connection, document, credits_, now)
        await hold_from_issue(connection, payer, environment, draft.id, now)
        earlier[draft.period] = document.total
        issued.append(
            IssuedDocument(
                payer.id, environment, str(draft.period), document.number, document.currency, document.total
            )
        )
    return issued, []


def _held(
    payer: Payer, environment: Environment, summed: SummedUp, later: Sequence[Draft]
) -> list[LeftDraft]:
    held = str(summed.draft.period)
    return [
        LeftDraft(payer.id, environment, held, reason=UNUSUAL, amount=summed.total),
        *(LeftDraft(payer.id, environment, str(one.period), reason=f"after {held}") for one in later),
    ]


async def _open_months(
    connection: Connection, account_id: str, environment: Environment, period: Period
) -> list[Month]:
    """The months up to this one that have usage to rate or a draft, latest first."""
    # All marks at once and in the order in which the roll-up sets them, or the two could wait for each other.
    marked = await connection.fetch(
        "SELECT period FROM billing.unrated WHERE account_id = $1 AND environment = $2 AND period <= $3 "
        "ORDER BY period FOR UPDATE",
        account_id,
        environment,
        period.first_day,
    )
    drafts = await _drafts(connection, account_id, environment, period)
    months = {period_of(row["period"]) for row in marked} | {draft.period for draft in drafts}
    return [Month(account_id, environment, one) for one in sorted(months, reverse=True)]


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


async def _hold(connection: Connection, draft: Draft) -> None:
    await connection.execute("UPDATE billing.invoice SET held = $2 WHERE id = $1", draft.id, UNUSUAL)
