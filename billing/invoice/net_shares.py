"""What an invoice of less than nothing owes, by service, and on which earlier invoices it is credited. Pure.

It is owed for the services that the invoice takes something back of; what it charges for others is set off against all of
these. Tax goes with them.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

import msgspec

from billing.ledger.accounts import TAX
from catalog.vocabulary.apportion import apportion

_NOTHING = Decimal(0)


class Creditable(msgspec.Struct, frozen=True):
    """An issued invoice: what is left to credit on it in all, and by service what it charged for months that are taken back
    of it, less what was credited of the service."""

    invoice_id: str
    number: str
    left: Decimal
    charged: Mapping[str, Decimal]


def owed_by_service(
    cells: Mapping[tuple[str, date], Decimal], owed: Decimal, currency: str
) -> Mapping[str, Decimal]:
    """`owed`, the negative sum of a document's `cells` (by service and month), by service: in proportion to what is taken back
    of each, its tax last."""
    nets: dict[str, Decimal] = {}
    for (service, _), amount in cells.items():
        nets[service] = nets.get(service, _NOTHING) - amount
    tax = min(owed, max(_NOTHING, nets.pop(TAX, _NOTHING)))
    lowered = {service: net for service, net in sorted(nets.items()) if net > 0}
    shares = (
        dict(zip(lowered, apportion(owed - tax, list(lowered.values()), currency), strict=True))
        if lowered
        else {}
    )
    return {service: share for service, share in (*shares.items(), (TAX, tax)) if share}


def place(
    owed: Mapping[str, Decimal], invoices: Sequence[Creditable], currency: str
) -> Mapping[str, Mapping[str, Decimal]]:
    """What is credited of each service on which invoice, by the invoice's id: the first that has room first.

    A service is credited where it was charged, its tax beside it; what has no room there, wherever anything is left.
    """
    missing, left = dict(owed), {one.invoice_id: one.left for one in invoices}
    placed: dict[str, dict[str, Decimal]] = {one.invoice_id: {} for one in invoices}

    def credit(invoice_id: str, service: str, most: Decimal) -> None:
        part = min(most, missing.get(service, _NOTHING), left[invoice_id])
        if part > 0:
            missing[service] -= part
            left[invoice_id] -= part
            lines = placed[invoice_id]
            lines[service] = lines.get(service, _NOTHING) + part

    services = [service for service in owed if service != TAX]
    for one in invoices:
        for service in services:
            credit(one.invoice_id, service, one.charged.get(service, _NOTHING))
    bases = [sum(placed[one.invoice_id].values(), _NOTHING) for one in invoices]
    if any(bases) and TAX in owed:
        for one, tax in zip(invoices, apportion(owed[TAX], bases, currency), strict=True):
            credit(one.invoice_id, TAX, min(tax, one.charged.get(TAX, _NOTHING)))
    for one in invoices:
        for service in owed:
            credit(one.invoice_id, service, missing[service])
    return {invoice_id: lines for invoice_id, lines in placed.items() if lines}
