"""What a month comes to if it ended now: its calls, and what its terms and earlier months add to them."""

from decimal import Decimal
from typing import Literal, TypeAlias

import msgspec

from billing.invoice.document import LineKind, document
from billing.invoice.month import Month, Payer
from billing.invoice.settle import coming_charges
from billing.transaction import Connection
from catalog.vocabulary.money import Money, money, round_money

BesideKind: TypeAlias = LineKind | Literal["correction"]


class Beside(msgspec.Struct, frozen=True):
    """What stands on a month's bill beside its calls: a charge of its terms, or the `correction` of an earlier month."""

    kind: BesideKind
    service: str
    amount: Money


class Bill(msgspec.Struct, frozen=True):
    """What a month's document comes to: as it was issued, or as the month would be billed if it ended now."""

    amount: Money
    besides: tuple[Beside, ...]


async def bill_so_far(connection: Connection, payer: Payer, month: Month, used: Decimal) -> Bill:
    """The bill of a month; `used` is what its calls come to, for a month that has no document yet."""
    has_document = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM billing.invoice WHERE account_id = $1 AND environment = $2 AND period = $3)",
        month.account_id,
        month.environment,
        month.period.first_day,
    )
    if not has_document:
        # Nothing but calls opens a month of the sandbox.
        coming = await coming_charges(connection, payer, month) if month.environment == "live" else ()
        total = used + sum((one.amount for one in coming), Decimal(0))
        besides = (Beside(one.key.kind, one.key.service, _money(one.amount, payer)) for one in coming)
        return Bill(_money(total, payer), tuple(besides))
    found = await document(connection, month)
    return Bill(
        Money(found.total, found.currency),
        tuple(
            Beside(
                "correction" if line.kind == "usage" else line.kind,
                line.service,
                Money(line.amount, found.currency),
            )
            for line in found.lines
            if line.correction or line.kind != "usage"
        ),
    )


def _money(amount: Decimal, payer: Payer) -> Money:
    return money(round_money(amount, payer.currency), payer.currency)
