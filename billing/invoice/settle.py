"""A month's terms on its account's documents: what they come to now, minus what was booked before."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from billing.invoice.charge import (
    Booked,
    ChargeKey,
    ChargeKind,
    ChargeLine,
    Due,
    book,
    booked_charges,
    unbooked,
)
from billing.invoice.contract import Contracted, contract_charges, tax_charges, tax_name
from billing.invoice.draft import draft_for
from billing.invoice.month import Month, Payer, period_of
from billing.invoice.terms import NO_TERMS, AgreedTerms, MonthTerms, decode_terms, read_terms
from billing.transaction import Connection
from catalog.accounts.contract_terms import months_after
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import plain
from catalog.vocabulary.period import Period

SETTLED: tuple[ChargeKind, ...] = ("fee", "discount", "top_up", "true_up", "tax")

_NOTHING = Decimal(0)

# What stands on any document, or, up to a moment, on those that were issued by then; less what disputes took off by then.
_AMOUNTS = """
    SELECT kind, service, sum(amount) AS amount
    FROM (SELECT 'line' AS kind, split_part(operation, '/', 1) AS service, amount, issued_at
          FROM billing.rated_line AS line JOIN billing.invoice ON invoice.id = invoice_id
          WHERE line.account_id = $1 AND line.environment = $2 AND line.period BETWEEN $3 AND $4 UNION ALL
          SELECT line.kind, service, amount, issued_at
          FROM billing.charge_line AS line JOIN billing.invoice ON invoice.id = invoice_id
          WHERE line.account_id = $1 AND line.environment = $2 AND line.period BETWEEN $3 AND $4 UNION ALL
          SELECT kind, service, -amount, credited_at FROM billing.dispute_credit
          WHERE account_id = $1 AND environment = $2 AND period BETWEEN $3 AND $4) AS said
    WHERE $5::timestamptz IS NULL OR issued_at <= $5
    GROUP BY 1, 2
"""
# What disputes took off a month's charges.
_TAKEN_OFF = """
    SELECT kind, service, name, sum(amount) AS amount FROM billing.dispute_credit
    WHERE account_id = $1 AND environment = $2 AND period = $3 AND kind <> 'line'
      AND ($4::timestamptz IS NULL OR credited_at <= $4)
    GROUP BY 1, 2, 3
"""
# The months that open documents say something about: by what terms they were issued, and whether anything is booked.
_MONTHS = """
    SELECT said.period, own.terms,
           EXISTS (SELECT FROM billing.charge_line AS charge
                   WHERE charge.account_id = $1 AND charge.environment = $2 AND charge.period = said.period) AS charged
    FROM (SELECT unnest($3::date[]) AS period UNION
          SELECT line.period FROM billing.rated_line AS line JOIN billing.invoice ON invoice.id = invoice_id
          WHERE line.account_id = $1 AND invoice.environment = $2 AND state = 'draft' AND invoice.period <= $4 UNION
          SELECT line.period FROM billing.charge_line AS line JOIN billing.invoice ON invoice.id = invoice_id
          WHERE line.account_id = $1 AND invoice.environment = $2 AND state = 'draft' AND invoice.period <= $4) AS said
    LEFT JOIN billing.invoice AS own ON own.state = 'issued'
     AND (own.account_id, own.environment, own.period) = ($1, $2, said.period)
    ORDER BY 1
"""


async def open_charged_months(
    connection: Connection,
    payer: Payer,
    environment: Environment,
    period: Period,
    agreed: AgreedTerms,
    now: datetime,
) -> None:
    """Open the documents of months up to this one that cost something though nothing was called; live books only."""
    contracts = agreed.of(payer.id)
    if environment != "live" or not contracts:
        return
    first = min(one.starts_on for one in contracts)
    rows = await connection.fetch(
        "SELECT period FROM billing.invoice "
        "WHERE account_id = $1 AND environment = 'live' AND period BETWEEN $2 AND $3",
        payer.id,
        first.replace(day=1),
        period.first_day,
    )
    there = {period_of(row["period"]) for row in rows}
    month = Period(first.year, first.month)
    while month <= period:
        if month not in there and any(one.charges for one in agreed.month(payer, month).contracts):
            await draft_for(connection, payer, Month(payer.id, environment, month), now)
        month = month.next()


async def settle_months(
    connection: Connection,
    payer: Payer,
    environment: Environment,
    period: Period,
    drafts: Sequence[Period],
    agreed: AgreedTerms,
    now: datetime,
) -> None:
    """Book what the terms come to for every month that the open documents up to `period` say something about.

    `drafts` are the months of those documents. A month that was issued is settled by the terms that it was issued by. The
    caller holds the account's books, has rated the months and given their credits, and commits.
    """
    found = await _to_settle(connection, payer, environment, period, drafts, agreed)
    for settled, (terms, charged) in sorted(found.items()):
        month = Month(payer.id, environment, settled)
        await book(connection, payer, month, await _moved(connection, payer, month, terms, charged), now)


async def _moved(
    connection: Connection, payer: Payer, month: Month, terms: MonthTerms, charged: bool
) -> Sequence[tuple[Due, Booked]]:
    if not charged and terms == NO_TERMS:
        return ()
    due = await due_charges(connection, payer, month, terms)
    return unbooked(due, await booked_charges(connection, month, SETTLED))


async def _to_settle(
    connection: Connection,
    payer: Payer,
    environment: Environment,
    period: Period,
    drafts: Sequence[Period],
    agreed: AgreedTerms,
) -> Mapping[Period, tuple[MonthTerms, bool]]:
    """The months that open documents up to `period` move, each as of `_said`."""
    found = await _said(connection, payer, environment, period, drafts, agreed)
    # What comes late for a committed span moves its last month.
    ends = {
        end
        for one in agreed.of(payer.id)
        for month in found
        if month >= Period(one.starts_on.year, one.starts_on.month)
        and (end := one.commitment_ends(month)) is not None
        and end <= period
    }
    if later := ends - found.keys():
        found |= await _said(connection, payer, environment, period, sorted(later), agreed)
    return found


async def _said(
    connection: Connection,
    payer: Payer,
    environment: Environment,
    period: Period,
    months: Sequence[Period],
    agreed: AgreedTerms,
) -> dict[Period, tuple[MonthTerms, bool]]:
    """These months, and those of what stands on open documents: their terms, and whether anything is booked."""
    rows = await connection.fetch(
        _MONTHS, payer.id, environment, [month.first_day for month in months], period.first_day
    )
    found = {}
    for row in rows:
        month = period_of(row["period"])
        terms = agreed.month(payer, month) if row["terms"] is None else decode_terms(row["terms"])
        found[month] = (terms, row["charged"])
    return found


class Less(msgspec.Struct, frozen=True):
    """By how much a part of a month's bill is less than what is booked: lines of calls (`line`) or a charge on a service."""

    period: Period
    kind: str
    service: str
    amount: Decimal


async def due_charges(
    connection: Connection, payer: Payer, month: Month, terms: MonthTerms, until: datetime | None = None
) -> tuple[Due, ...]:
    """What a month's documents are to charge by its terms; `until`: of what those that were issued by then say.

    Where disputes took something off a charge, that stays charged: documents and the credit notes over them come to what is
    due together.
    """
    if not (terms.contracts or terms.taxes):
        return ()
    taken = {
        ChargeKey(row["kind"], row["service"], row["name"]): row["amount"]
        for row in await connection.fetch(
            _TAKEN_OFF, month.account_id, month.environment, month.period.first_day, until
        )
    }
    settled = await settled_charges(connection, payer, month, terms, until)
    names = {one.service: tax_name(one) for one in terms.taxes}
    return (
        *(
            _due(
                one, taken.pop(_key(one), _NOTHING), {"name": names[one.service]} if one.kind == "tax" else {}
            )
            for one in settled
        ),
        *(Due(key, _NOTHING, amount, {"disputed": plain(amount)}) for key, amount in taken.items()),
    )


def _key(one: Contracted) -> ChargeKey:
    return ChargeKey(one.kind, one.service, one.name)


def _due(one: Contracted, taken: Decimal, detail: Mapping[str, str]) -> Due:
    disputed = {"disputed": plain(taken)} if taken else {}
    trace = msgspec.to_builtins(one.trace)
    return Due(_key(one), one.base, one.amount + taken, {"trace": trace, **detail, **disputed})


async def settled_charges(
    connection: Connection,
    payer: Payer,
    month: Month,
    terms: MonthTerms,
    until: datetime | None = None,
    less: Sequence[Less] = (),
) -> tuple[Contracted, ...]:
    """What a month's terms come to over all its lines and credits, without what disputes took off them, and if there were
    so much `less`; `until`: over what stands on documents issued by then."""
    amounts = await _amounts(connection, month, month.period, until, less)
    lines = {service: amount for (kind, service), amount in amounts.items() if kind == "line"}
    spent = {}
    for one in terms.contracts:
        if one.commitment_ends(month.period) == month.period:
            first = months_after(month.period, 1 - one.committed_months)
            earlier = await _amounts(connection, month, first, until, less)
            spent[one.id] = _spent(earlier, one.service) - _spent(amounts, one.service)
    contracted = contract_charges(terms.contracts, lines, spent, month.period, payer.currency)
    net = dict(lines)
    for (kind, service), amount in amounts.items():
        if kind == "credit":
            net[service] = net.get(service, _NOTHING) + amount
    for charge in contracted:
        net[charge.service] = net.get(charge.service, _NOTHING) + charge.amount
    return (*contracted, *tax_charges(terms.taxes, net, payer.currency))


async def coming_charges(connection: Connection, payer: Payer, month: Month) -> tuple[ChargeLine, ...]:
    """What would be booked onto a month's draft if it were closed now: what it shows beside what is booked.

    What came late for an issued month moves the charges of that month too, by the terms that it was issued by.
    """
    agreed, period = await read_terms(connection, [payer.id]), month.period
    moving = await _to_settle(connection, payer, month.environment, period, [period], agreed)
    first = await connection.fetchval(
        "SELECT min(period) FROM billing.invoice WHERE account_id = $1 AND environment = $2 AND state = 'draft'",
        payer.id,
        month.environment,
    )
    coming: list[ChargeLine] = []
    for settled in sorted(moving, key=lambda one: (one != period, one)):
        # What is late stands on the first open document.
        if settled != period and first != period.first_day:
            continue
        of = Month(payer.id, month.environment, settled)
        coming += (
            ChargeLine(
                0,
                due.key,
                settled,
                settled != period,
                due.base,
                due.amount - before.amount,
                due.amount,
                due.detail,
            )
            for due, before in await _moved(connection, payer, of, *moving[settled])
        )
    return tuple(coming)


async def _amounts(
    connection: Connection, month: Month, first: Period, until: datetime | None, less: Sequence[Less]
) -> Mapping[tuple[str, str], Decimal]:
    """What the months from `first` to this one came to, by kind (`line` for calls) and service."""
    rows = await connection.fetch(
        _AMOUNTS, month.account_id, month.environment, first.first_day, month.period.first_day, until
    )
    found = {(row["kind"], row["service"]): row["amount"] for row in rows}
    for one in less:
        if first <= one.period <= month.period:
            place = (one.kind, one.service)
            found[place] = found.get(place, _NOTHING) - one.amount
    return found


_SPENDING: Sequence[str] = ("line", "fee", "discount", "top_up", "true_up")


def _spent(amounts: Mapping[tuple[str, str], Decimal], service: str) -> Decimal:
    """What of a span's amounts counts towards a commitment: neither credits nor taxes."""
    return sum(
        (amount for (kind, of), amount in amounts.items() if kind in _SPENDING and service in ("", of)),
        _NOTHING,
    )
