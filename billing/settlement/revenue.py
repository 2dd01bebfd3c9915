"""What a delivering unit earned in a month: its revenue statement, document by document, and the group's transfers."""

from decimal import Decimal

import msgspec

from billing.transaction import Connection
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import amount_text, plain
from catalog.vocabulary.period import Period


class RevenueLine(msgspec.Struct, frozen=True):
    """A unit's share of what one document says of a service; `amount` is revenue less credits."""

    document: str
    account_id: str
    account: str
    service: str
    share_pct: str
    revenue: str
    credits: str
    amount: str
    currency: str


class RevenueTotal(msgspec.Struct, frozen=True):
    """The sum of a statement's lines in one currency."""

    currency: str
    revenue: str
    credits: str
    amount: str


class RevenueStatement(msgspec.Struct, frozen=True):
    """A unit's month, of issued documents and of the credit notes that were issued in it."""

    unit: str
    environment: Environment
    period: str
    lines: tuple[RevenueLine, ...]
    totals: tuple[RevenueTotal, ...]


_LINES = """
    SELECT unit, coalesce(invoice.number, note.number) AS document, transfer.account_id, account.name AS account, service,
           share_pct, revenue, credits, transfer.currency
    FROM billing.transfer JOIN catalog.account ON account.id = transfer.account_id
    LEFT JOIN billing.invoice ON invoice.id = document_id
    LEFT JOIN billing.credit_note AS note ON note.id = document_id
    WHERE transfer.environment = $1 AND transfer.period = $2 AND ($3::text IS NULL OR unit = $3)
    ORDER BY unit, account.name, document, service
"""


async def revenue_statements(
    connection: Connection, period: Period, environment: Environment, unit: str | None = None
) -> tuple[RevenueStatement, ...]:
    """The statements of a month by unit; of one unit or of all that earned something. All accounts are in scope."""
    rows = await connection.fetch(_LINES, environment, period.first_day, unit)
    lines: dict[str, list[RevenueLine]] = {}
    totals: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
    for row in rows:
        revenue, credited = row["revenue"], row["credits"]
        lines.setdefault(row["unit"], []).append(
            RevenueLine(
                row["document"],
                row["account_id"],
                row["account"],
                row["service"],
                plain(row["share_pct"]),
                amount_text(revenue, row["currency"]),
                amount_text(credited, row["currency"]),
                amount_text(revenue - credited, row["currency"]),
                row["currency"],
            )
        )
        key = (row["unit"], row["currency"])
        before = totals.get(key, (Decimal(0), Decimal(0)))
        totals[key] = (before[0] + revenue, before[1] + credited)
    return tuple(
        RevenueStatement(
            name,
            environment,
            str(period),
            tuple(own),
            tuple(
                RevenueTotal(
                    currency,
                    amount_text(revenue, currency),
                    amount_text(credited, currency),
                    amount_text(revenue - credited, currency),
                )
                for (whose, currency), (revenue, credited) in sorted(totals.items())
                if whose == name
            ),
        )
        for name, own in sorted(lines.items())
    )
