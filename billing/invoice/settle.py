"""A month's terms on its account's documents: what they come to now, minus what was booked before."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from billing.invoice.charge import ChargeKey, ChargeKind, ChargeLine, Due, book, booked_charges, unbooked
from billing.invoice.contract import Contracted, contract_charges, tax_charges, tax_name
from billing.invoice.draft import draft_for
from billing.invoice.month import Month, Payer, period_of
from billing.invoice.terms import NO_TERMS, AgreedTerms, MonthTerms, decode_terms, read_terms
from billing.transaction import Connection
from catalog.accounts.contract_terms import months_after
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.period import Period

SETTLED: tuple[ChargeKind, ...] = ("fee", "discount", "top_up", "true_up", "tax")

# What stands on any document, or, up to a moment, on those that were issued by then.
_AMOUNTS = """
    SELECT line.kind, line.service, sum(line.amount) AS amount
    FROM (SELECT 'line' AS kind, split_part(operation, '/', 1) AS service, amount, invoice_id FROM billing.rated_line
          WHERE account_id = $1 AND environment = $2 AND period BETWEEN $3 AND $4 UNION ALL
          SELECT kind, service, amount, invoice_id FROM billing.charge_line
          WHERE account_id = $1 AND environment = $2 AND period BETWEEN $3 AND $4) AS line
    JOIN billing.invoice ON invoice.id = invoice_id
    WHERE $5::timestamptz IS NULL OR issued_at <= $5
    GROUP BY 1, 2
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
    for settled, (terms, charged) in sorted(found.items()):
        if charged or terms != NO_TERMS:
            month = Month(payer.id, environment, settled)
            due = await due_charges(connection, payer, month, terms)
            booked = await booked_charges(connection, month, SETTLED)
            await book(connection, payer, month, unbooked(due, booked), now)


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


async def due_charges(
    connection: Connection, payer: Payer, month: Month, terms: MonthTerms, until: datetime | None = None
) -> tuple[Due, ...]:
    """What a month's terms come to over all its lines and credits; `until`: over those on documents issued by then."""
    if not (terms.contracts or terms.taxes):
        return ()
    amounts = await _amounts(connection, month, month.period, until)
    lines = {service: amount for (kind, service), amount in amounts.items() if kind == "line"}
    spent = {}
    for one in terms.contracts:
        if one.commitment_ends(month.period) == month.period:
            first = months_after(month.period, 1 - one.committed_months)
            earlier = await _amounts(connection, month, first, until)
            spent[one.id] = _spent(earlier, one.service) - _spent(amounts, one.service)
    contracted = contract_charges(terms.contracts, lines, spent, month.period, payer.currency)
    net = dict(lines)
    for (kind, service), amount in amounts.items():
        if kind == "credit":
            net[service] = net.get(service, Decimal(0)) + amount
    for charge in contracted:
        net[charge.service] = net.get(charge.service, Decimal(0)) + charge.amount
    taxes = tax_charges(terms.taxes, net, payer.currency)
    names = {one.service: tax_name(one) for one in terms.taxes}
    return (
        *(_due(one, {}) for one in contracted),
        *(_due(one, {"name": names[one.service]}) for one in taxes),
    )


def _due(one: Contracted, detail: Mapping[str, str]) -> Due:
    trace = msgspec.to_builtins(one.trace)
    return Due(ChargeKey(one.kind, one.service, one.name), one.base, one.amount, {"trace": trace, **detail})


async def coming_charges(connection: Connection, payer: Payer, month: Month) -> tuple[ChargeLine, ...]:
    """What would be booked if the month were closed now: what its draft shows beside what is booked."""
    terms = (await read_terms(connection, [payer.id])).month(payer, month.period)
    due = await due_charges(connection, payer, month, terms)
    moved = unbooked(due, await booked_charges(connection, month, SETTLED)) if due else []
    return tuple(
        ChargeLine(
            0, one.key, month.period, False, one.base, one.amount - before.amount, one.amount, one.detail
        )
        for one, before in moved
    )


async def _amounts(
    connection: Connection, month: Month, first: Period, until: datetime | None
) -> Mapping[tuple[str, str], Decimal]:
    """What the months from `first` to this one came to, by kind (`line` for calls) and service."""
    rows = await connection.fetch(
        _AMOUNTS, month.account_id, month.environment, first.first_day, month.period.first_day, until
    )
    return {(row["kind"], row["service"]): row["amount"] for row in rows}


_SPENDING: Sequence[str] = ("line", "fee", "discount", "top_up", "true_up")


def _spent(amounts: Mapping[tuple[str, str], Decimal], service: str) -> Decimal:
    """What of a span's amounts counts towards a commitment: neither credits nor taxes."""
    return sum(
        (amount for (kind, of), amount in amounts.items() if kind in _SPENDING and service in ("", of)),
        Decimal(0),
    )
