"""What is written on a printed document, whichever file it is: title, parties, facts, and the names of things."""

from datetime import datetime

from billing.invoice import words
from billing.invoice.document import Document, DocumentLine
from catalog.vocabulary.clock import local_time
from catalog.vocabulary.problem import Language


def title_of(document: Document, language: Language) -> str:
    """`Invoice INV-2026-000001`."""
    number = document.number or words.DRAFT.worded(language)
    return f"{words.KINDS[document.kind].worded(language)} {number}"


def recipient_lines(document: Document, language: Language) -> list[str]:
    """Who it is addressed to: name, address, tax id, as far as they are known."""
    to = document.recipient
    name = to.get("legal_name") or to.get("title", {}).get(language) or to["name"]
    return _party(name, to.get("address", ""), to.get("tax_id", ""), language)


def seller_lines(document: Document, language: Language) -> list[str]:
    """Who issues it: name, address, tax id; nothing where nobody has said."""
    if (seller := document.seller) is None:
        return []
    return _party(seller.legal_name, seller.address, seller.tax_id, language)


def _party(name: str, address: str, tax_id: str, language: Language) -> list[str]:
    known = [name, *address.splitlines()]
    return [*known, f"{words.TAX_ID.worded(language)} {tax_id}"] if tax_id else known


def facts(document: Document, language: Language) -> list[tuple[str, str]]:
    """Labels and values beside the parties: month, issue, and by when and how an invoice is paid."""
    found = [(words.MONTH, document.period), (words.TIME_ZONE, document.timezone)]
    if document.issued_at is not None:
        issued_at = datetime.fromisoformat(document.issued_at)
        found.append((words.ISSUED, local_time(issued_at, document.timezone)))
    if (corrected := document.corrects) is not None:
        reason = words.REASONS[corrected.reason].worded(language)
        found.append((words.CORRECTS, f"{corrected.number} ({corrected.period}, {reason})"))
    seller = document.seller if document.kind == "invoice" else None
    if seller is not None:
        within = words.DUE_WITHIN.worded(language).format(days=seller.payment_days)
        found.append((words.DUE, within if document.due_on is None else f"{document.due_on} ({within})"))
        if seller.payment_terms:
            found.append((words.PAYMENT, seller.payment_terms))
        if seller.bank:
            found.append((words.BANK, seller.bank))
    elif document.due_on is not None:
        found.append((words.DUE, document.due_on))
    return [(label.worded(language), value) for label, value in found]


def service_name(document: Document, service: str, language: Language) -> str:
    """What people call a service, or the part of the bill that no service is."""
    if service in _PARTS:
        return _PARTS[service].worded(language)
    titles = next((one.title for one in document.services if one.service == service), {})
    return titles.get(language) or titles.get("en") or service


# What stands among the services and is none.
_PARTS = {"account": words.WHOLE_BILL, "tax": words.TAXES}


def what_of(line: DocumentLine, language: Language) -> str:
    """What a line is for: the operation that was called, or the charge that no call carries."""
    charge = words.CHARGES.get(line.kind)
    if charge is None:
        return line.operation
    return charge.worded(language).format(base=line.base, name=line.name)
