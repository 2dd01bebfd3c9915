"""What a document brings to the units that deliver its services: shares of revenue and of credits, posted between units.

A payer owes each unit its share; the group's transfers sum to zero. What another company pays is owed by the house, which
collects it. Taxes are no revenue, and what belongs to no service (a fee on the whole bill) stays with the house.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import asyncpg
import msgspec

from billing.invoice.month import Payer, lock_books, period_of
from billing.ledger.accounts import HOUSE, due_from, due_to, unit_books
from billing.ledger.post import Entry, post
from billing.sla.store import Terms, terms_at
from billing.transaction import Connection
from catalog.passport import Share
from catalog.vocabulary.apportion import apportion
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.period import Period


class Earned(msgspec.Struct, frozen=True):
    """What a document charges for a service, what it gives back, and how that was shared already, if it was."""

    service: str
    revenue: Decimal
    credits: Decimal = Decimal(0)
    credited_to: Mapping[str, Decimal] = {}


class UnitPart(msgspec.Struct, frozen=True):
    """A unit's share of what a document earned with a service; both parts in whole minor units."""

    service: str
    unit: str
    share_pct: Decimal
    revenue: Decimal
    credits: Decimal


class Delivery(msgspec.Struct, frozen=True):
    """The units that deliver a service with their percentages, and the passport's revision that says so."""

    revision: int
    shares: tuple[Share, ...]


class Deliveries:
    """Who delivers each service; a revision never changes, so that each is read once for a whole close."""

    def __init__(self) -> None:
        """Nothing is read yet."""
        self._known: dict[tuple[str, datetime], Delivery | None] = {}

    async def of(
        self, connection: Connection, service: str, period: Period, timezone: str
    ) -> Delivery | None:
        """By the passport in force when the month began; its owner alone where it names nobody. None: never published."""
        starts_at = period.bounds(timezone)[0]
        if (service, starts_at) not in self._known:
            terms = await terms_at(connection, service, starts_at)
            self._known[service, starts_at] = None if terms is None else _delivery(terms)
        return self._known[service, starts_at]


def _delivery(terms: Terms) -> Delivery:
    return Delivery(terms.revision, terms.passport.delivered_by or (Share(terms.passport.owner.team, "100"),))


# What was rated and what the contract adds on a service; credits as positive amounts, with their stored division.
_EARNED = """
    SELECT service, sum(revenue) AS revenue, sum(credits) AS credits,
           coalesce(jsonb_agg(delivered_by) FILTER (WHERE delivered_by IS NOT NULL), '[]') AS credited_to
    FROM (SELECT split_part(operation, '/', 1) AS service, amount AS revenue, 0 AS credits, NULL::jsonb AS delivered_by
          FROM billing.rated_line WHERE invoice_id = $1
          UNION ALL
          SELECT service, CASE kind WHEN 'credit' THEN 0 ELSE amount END, CASE kind WHEN 'credit' THEN -amount ELSE 0 END,
                 CASE kind WHEN 'credit' THEN detail -> 'delivered_by' END
          FROM billing.charge_line WHERE invoice_id = $1 AND kind <> 'tax') AS line
    WHERE service <> '' GROUP BY service HAVING sum(revenue) <> 0 OR sum(credits) <> 0 ORDER BY service
"""
_OLDER = """
    SELECT id, account_id, environment, period FROM billing.invoice
    WHERE state = 'issued' AND NOT EXISTS (SELECT FROM billing.transfer WHERE document_id = invoice.id)
      AND EXISTS (SELECT FROM billing.rated_line WHERE invoice_id = invoice.id AND amount <> 0
                  AND split_part(operation, '/', 1) IN (SELECT service FROM catalog.passport))
    ORDER BY id LIMIT 1000
"""
_INSERT = """
    INSERT INTO billing.transfer (document_id, account_id, environment, period, currency, booked_at,
                                  service, unit, share_pct, revenue, credits, revision)
    SELECT $1, $2, $3, $4, $5, $6, part.*
    FROM unnest($7::text[], $8::text[], $9::numeric[], $10::numeric[], $11::numeric[], $12::integer[]) AS part
"""


async def transfer_document(
    connection: Connection,
    payer: Payer,
    environment: Environment,
    document_id: str,
    period: Period,
    deliveries: Deliveries,
    now: datetime,
) -> None:
    """Post what a document, rated and settled, brings to the units; once, in the transaction that issues it."""
    earned = [_earned(row) for row in await connection.fetch(_EARNED, document_id)]
    await transfer(connection, payer, environment, document_id, period, earned, deliveries, now)


async def transfer_older(
    connection: Connection, payers: Mapping[str, Payer], deliveries: Deliveries, now: datetime
) -> None:
    """The same for documents that were issued before there were transfers, at most a thousand; the caller commits."""
    for row in await connection.fetch(_OLDER):
        await lock_books(connection, row["account_id"], row["environment"])
        if not await connection.fetchval(
            "SELECT EXISTS (SELECT FROM billing.transfer WHERE document_id = $1)", row["id"]
        ):
            period = period_of(row["period"])
            payer = payers[row["account_id"]]
            await transfer_document(connection, payer, row["environment"], row["id"], period, deliveries, now)


async def transfer(
    connection: Connection,
    payer: Payer,
    environment: Environment,
    document_id: str,
    period: Period,
    earned: Sequence[Earned],
    deliveries: Deliveries,
    now: datetime,
) -> None:
    """Divide what a document earned between the units that deliver its services, and post it."""
    parts: list[UnitPart] = []
    revisions: dict[str, int] = {}
    for one in earned:
        delivery = await deliveries.of(connection, one.service, period, payer.timezone)
        if delivery is not None:
            revisions[one.service] = delivery.revision
            parts.extend(unit_parts(one, delivery.shares, payer.currency))
    if not parts:
        return
    await connection.execute(
        _INSERT,
        document_id,
        payer.id,
        environment,
        period.first_day,
        payer.currency,
        now,
        [part.service for part in parts],
        [part.unit for part in parts],
        [part.share_pct for part in parts],
        [part.revenue for part in parts],
        [part.credits for part in parts],
        [revisions[part.service] for part in parts],
    )
    if entries := transfer_entries(payer, parts):
        await post(connection, "transfer", f"transfer:{document_id}", environment, now, entries)


def by_unit(amount: Decimal, shares: Sequence[Share], currency: str) -> Mapping[str, Decimal]:
    """An amount divided between the units that deliver something, in the order of their names; the parts sum to it.

    Nothing for no shares; a unit with a share of zero has no part.
    """
    percent = _percentages(shares)
    if not percent:
        return {}
    return dict(zip(percent, apportion(amount, list(percent.values()), currency), strict=True))


def _percentages(shares: Sequence[Share]) -> dict[str, Decimal]:
    """Of each unit, in the order of their names; one that is named twice delivers both of its shares."""
    percent: dict[str, Decimal] = {}
    for share in sorted(shares, key=lambda share: share.unit):
        percent[share.unit] = percent.get(share.unit, Decimal(0)) + Decimal(share.share_pct)
    return {unit: part for unit, part in percent.items() if part}


def unit_parts(earned: Earned, shares: Sequence[Share], currency: str) -> list[UnitPart]:
    """A service's revenue and credits by unit: the parts sum to both."""
    percent = _percentages(shares)
    revenue = by_unit(earned.revenue, shares, currency)
    credited: Mapping[str, Decimal] = dict.fromkeys(revenue, Decimal(0)) | dict(earned.credited_to)
    if sum(credited.values()) != earned.credits or credited.keys() != revenue.keys():
        credited = by_unit(earned.credits, shares, currency)
    return [
        UnitPart(earned.service, unit, percent[unit], gained, credited[unit])
        for unit, gained in revenue.items()
    ]


def transfer_entries(payer: Payer, parts: Sequence[UnitPart]) -> list[Entry]:
    """Both sides of every part: what the payer, or the house for another company, owes a unit, and the unit's claim."""
    debtor = payer.id if payer.kind == "internal" else HOUSE
    owed: dict[str, Decimal] = {}
    for part in parts:
        owed[part.unit] = owed.get(part.unit, Decimal(0)) + part.revenue - part.credits
    return [
        entry
        for unit, amount in sorted(owed.items())
        if amount
        for entry in (
            Entry(unit_books(unit), due_from(debtor), payer.currency, amount),
            Entry(debtor, due_to(unit), payer.currency, -amount),
        )
    ]


def _earned(row: asyncpg.Record) -> Earned:
    credited: dict[str, Decimal] = {}
    for parts in msgspec.json.decode(row["credited_to"], type=list[dict[str, Decimal]]):
        for unit, part in parts.items():
            credited[unit] = credited.get(unit, Decimal(0)) + part
    return Earned(row["service"], row["revenue"], row["credits"], credited)
