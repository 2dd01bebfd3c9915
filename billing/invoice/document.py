"""A month's document as people and programs read it: a draft as it stands, an issued one as it was issued."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, TypeAlias

import msgspec

from billing.invoice.calendar import Calendar
from billing.invoice.charge import ChargeKind, ChargeLine, charge_lines
from billing.invoice.credit import SlaCredit, judged_credits
from billing.invoice.credited_by import CreditNoteEntry, CreditReason, credit_notes_of
from billing.invoice.due import payment_terms
from billing.invoice.issue import recipient
from billing.invoice.lines import InvoiceLine, frozen_lines, invoice_lines, rated_steps
from billing.invoice.month import Month, payer_of, period_of
from billing.invoice.number import NumberedKind
from billing.invoice.settle import coming_charges
from billing.invoice.standing import standing_of
from billing.invoice.titles import names_of, service_titles
from billing.rate import TierTrace
from billing.transaction import Connection
from catalog.accounts.seller import SellerProfile, decode_seller
from catalog.vocabulary.clock import rfc3339
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import amount_text, exponent, plain
from catalog.vocabulary.problem import Problem

LineKind: TypeAlias = Literal["usage", "credited"] | ChargeKind

# What of a whole bill is shown under, beside the services.
_WHOLE_BILL = "account"


class DocumentShare(msgspec.Struct, frozen=True):
    """What one application used for one cost centre. Names are the present ones; ids never change."""

    application_id: str
    application: str
    cost_centre_id: str
    cost_centre: str
    calls: int
    units: str


class DocumentCredit(msgspec.Struct, frozen=True):
    """Why something is given back: the missed objective, what was measured against what was promised, the percentage of
    which charges, and the evidence."""

    objective: str
    measured: str
    attained_pct: str | None
    target_pct: str | None
    credit_pct: str
    charges: str
    evidence: Mapping[str, Any]


class DocumentLine(msgspec.Struct, frozen=True):
    """One operation at one price version; amounts in the document's currency, `precise_amount` before rounding.

    A line of another `kind` has no calls: it is what a contract adds or takes off (`fee`, `discount`, `top_up`, `true_up`),
    a `credit` for a missed objective, a `tax`, or `net_credit`, which brings an invoice of less than nothing to nothing because
    it is credited on those that `name` names; `base` is the amount that it was taken of. Its operation is
    `customs/*` where it is of a whole service, `account/*` where it is of the whole bill. `credited` is a line of a credit
    note, `name` its reason in words.
    """

    position: int
    service: str
    operation: str
    price_version: str
    usage_period: str
    correction: bool
    calls: int
    units: str
    amount: str
    precise_amount: str
    tiers: tuple[TierTrace, ...]
    shares: tuple[DocumentShare, ...]
    credit: DocumentCredit | None = None
    kind: LineKind = "usage"
    name: str = ""
    base: str | None = None


class ServiceTotal(msgspec.Struct, frozen=True):
    """The sum of a service's lines, credits among them; `account` is the whole bill's own charges, `tax` its taxes.
    `title` is what the service is called by language; empty for those two."""

    service: str
    calls: int
    amount: str
    title: Mapping[str, str] = {}


class DocumentCalendar(msgspec.Struct, frozen=True):
    """When a month's figures become a draft, may be disputed, and are issued."""

    draft_at: str
    disputes_at: str
    issue_at: str


class CorrectedDocument(msgspec.Struct, frozen=True):
    """The document that a credit note corrects, and why."""

    number: str
    period: str
    reason: CreditReason


class Document(msgspec.Struct, frozen=True):
    """A statement, an invoice or a credit note. `number` and `issued_at` are null while it is a draft; `missing` names what keeps an
    external account's draft from being issued, `held` why it waits for a person. A draft shows what its month's terms
    would come to if it ended now. Money and quantities are decimal strings; the lines sum to `total`. `calendar` is null
    where documents are issued at once; open disputes hold `disputed`; `approved_at` is when the payer accepted this total.
    `seller` is who issues, as it was when it was issued, with the payment days that hold for this payer; null where nobody
    had said. An issued invoice is due on `due_on` of its own zone. `credit_notes` correct the document; a credit note's `corrects` is what it corrects, its amounts are
    positive and owed to the payer."""

    id: str
    kind: NumberedKind
    state: str
    number: str | None
    account_id: str
    recipient: Mapping[str, Any]
    environment: Environment
    period: str
    timezone: str
    starts_at: str
    ends_at: str
    currency: str
    issued_at: str | None
    missing: tuple[str, ...]
    lines: tuple[DocumentLine, ...]
    services: tuple[ServiceTotal, ...]
    calls: int
    total: str
    held: str = ""
    calendar: DocumentCalendar | None = None
    disputed: str = "0"
    approved_at: str | None = None
    seller: SellerProfile | None = None
    due_on: str | None = None
    credit_notes: tuple[CreditNoteEntry, ...] = ()
    corrects: CorrectedDocument | None = None


async def document(connection: Connection, month: Month) -> Document:
    """The document of a month; `Problem` not-found where the account had no usage, or is out of scope."""
    payer = await payer_of(connection, month.account_id)
    row = await connection.fetchrow(
        "SELECT id, kind, state, number, currency, issued_at, missing, recipient, total, period, held, seller, due_on "
        "FROM billing.invoice "
        "WHERE account_id = $1 AND environment = $2 AND period = $3",
        month.account_id,
        month.environment,
        month.period.first_day,
    )
    if row is None:
        raise Problem(
            "not-found",
            f"{payer.name} has no document for {month.period}: no {month.environment} call of it in that month was recorded.",
        )
    issued = row["state"] == "issued"
    if issued:
        lines = await frozen_lines(connection, row["id"])
    else:
        lines = invoice_lines(await rated_steps(connection, row["id"]), period_of(row["period"]))
    charges = await charge_lines(connection, row["id"])
    judged = await judged_credits(connection, row["id"], charges)
    if not issued:
        charges += await coming_charges(connection, payer, month)
    total = sum((line.amount for line in lines), Decimal(0)) + sum(one.amount for one in charges)
    assert not issued or total == row["total"], "an issued total is the sum of its lines"
    starts_at, ends_at = month.period.bounds(payer.timezone)
    names = await names_of(connection, month.account_id)
    currency = row["currency"]
    standing = await standing_of(connection, payer, row["id"], month.period, total)
    shown = (
        *(_line(position, line, currency, names) for position, line in enumerate(lines, 1)),
        *(
            _charge(position, one, judged.get(one.id), currency)
            for position, one in enumerate(charges, len(lines) + 1)
        ),
    )
    seller = _seller(row["seller"]) if issued else (await payment_terms(connection, payer.id)).seller
    notes = await credit_notes_of(connection, [row["id"]])
    return Document(
        row["id"],
        row["kind"],
        row["state"],
        row["number"],
        month.account_id,
        msgspec.json.decode(row["recipient"]) if issued else recipient(payer),
        month.environment,
        str(month.period),
        payer.timezone,
        rfc3339(starts_at),
        rfc3339(ends_at),
        currency,
        _moment(row["issued_at"]),
        tuple(row["missing"]),
        shown,
        service_totals(shown, currency, await service_titles(connection)),
        sum(line.calls for line in lines),
        amount_text(total, currency),
        row["held"],
        None if standing.calendar is None else _calendar(standing.calendar),
        amount_text(standing.disputed, currency),
        _moment(standing.approved_at),
        seller,
        None if row["due_on"] is None else str(row["due_on"]),
        notes.get(row["id"], ()),
    )


def _seller(frozen: str | None) -> SellerProfile | None:
    return None if frozen is None else decode_seller(frozen)


def _line(position: int, line: InvoiceLine, currency: str, names: Mapping[str, str]) -> DocumentLine:
    return DocumentLine(
        position,
        _service(line),
        line.operation,
        line.price_version,
        str(line.usage_period),
        line.corrects,
        line.calls,
        quantity(line.units),
        amount_text(line.amount, currency),
        _precise(line.precise, currency),
        line.trace,
        tuple(
            DocumentShare(
                share.application_id,
                names.get(share.application_id, ""),
                share.cost_centre_id,
                names.get(share.cost_centre_id, ""),
                share.calls,
                quantity(share.units),
            )
            for share in line.split
        ),
    )


def _charge(position: int, one: ChargeLine, credit: SlaCredit | None, currency: str) -> DocumentLine:
    service = "tax" if one.key.kind == "tax" else one.key.service or _WHOLE_BILL
    tiers = tuple(msgspec.convert(step, TierTrace) for step in one.detail.get("trace", ()))
    # What disputes took off it stands on credit notes.
    taken = Decimal(one.detail.get("disputed", "0"))
    if tiers and (before := one.amount_after - one.amount - taken):
        tiers = (*tiers, TierTrace("billed_before", None, "0", "0", "0", plain(-before)))
    precise = sum((Decimal(step.amount) for step in tiers), Decimal(0)) if tiers else one.amount
    operation = credit.operation if credit is not None else None
    return DocumentLine(
        position=position,
        service=service,
        operation=operation or f"{service}/{one.key.service or '*' if one.key.kind == 'tax' else '*'}",
        price_version="",
        usage_period=str(one.usage_period),
        correction=one.corrects,
        calls=0,
        units="0",
        amount=amount_text(one.amount, currency),
        precise_amount=_precise(precise, currency),
        tiers=tiers,
        shares=(),
        credit=None if credit is None else _credit(credit, currency),
        kind=one.key.kind,
        name=one.detail.get("name", one.key.name),
        base=amount_text(one.base, currency),
    )


def _credit(one: SlaCredit, currency: str) -> DocumentCredit:
    return DocumentCredit(
        one.objective,
        one.evidence["measured"],
        one.evidence["attained_pct"],
        one.evidence["target_pct"],
        quantity(one.credit_pct),
        amount_text(one.charges, currency),
        one.evidence,
    )


def _calendar(calendar: Calendar) -> DocumentCalendar:
    return DocumentCalendar(
        rfc3339(calendar.draft_at), rfc3339(calendar.disputes_at), rfc3339(calendar.issue_at)
    )


def service_totals(
    lines: Iterable[DocumentLine], currency: str, titles: Mapping[str, Mapping[str, str]]
) -> tuple[ServiceTotal, ...]:
    """What each service comes to, in alphabetical order."""
    totals: dict[str, tuple[int, Decimal]] = {}
    for line in lines:
        calls, amount = totals.get(line.service, (0, Decimal(0)))
        totals[line.service] = (calls + line.calls, amount + Decimal(line.amount))
    return tuple(
        ServiceTotal(name, calls, amount_text(amount, currency), titles.get(name, {}))
        for name, (calls, amount) in sorted(totals.items())
    )


def _service(line: InvoiceLine) -> str:
    return line.operation.partition("/")[0]


def share_weights(line: DocumentLine) -> list[Decimal]:
    """By what a line's amount is divided over its shares: their units, their calls where nothing was billable.

    What takes back usage has negative quantities: its size is what counts.
    """
    units = [abs(Decimal(share.units)) for share in line.shares]
    return units if any(units) else [Decimal(abs(share.calls)) for share in line.shares]


def quantity(units: Decimal) -> str:
    """A quantity without needless zeros: `1500`, `2.5`."""
    text = plain(units)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _precise(amount: Decimal, currency: str) -> str:
    """Every digit that matters, and at least those of the minor unit."""
    whole, _, fraction = quantity(amount).partition(".")
    fraction = fraction.ljust(exponent(currency), "0")
    return f"{whole}.{fraction}" if fraction else whole


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)
