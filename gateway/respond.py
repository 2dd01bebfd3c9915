"""Receipt -> Reply: what the caller of a metered call reads."""

from catalog.vocabulary.ids import call_id_text
from catalog.vocabulary.money import plain
from gateway.proofs import Receipt
from gateway.refuse import problem_body, retry_headers
from gateway.transport import Reply

_JSON = (b"content-type", b"application/json")
_PROBLEM = (b"content-type", b"application/problem+json")


def respond(receipt: Receipt) -> Reply:
    """The reply with its call id, units and charge; a refusal of the service is a problem document."""
    outcome = receipt.outcome
    admission = outcome.call.admission
    call_id = call_id_text(admission.call_id)
    charge = receipt.price.charge(receipt.units) if receipt.billable else f"0 {receipt.price.currency}"
    headers = [
        _JSON if outcome.problem is None else _PROBLEM,
        (b"ordergate-call-id", call_id.encode()),
        (b"ordergate-units", plain(receipt.units).encode()),
        (b"ordergate-charge", charge.encode()),
        *admission.rate_headers,
    ]
    for name, value in admission.permit.operation.headers:
        headers.append((name.encode(), value.encode()))
    if outcome.problem is None:
        return Reply(outcome.status, headers, outcome.reply)
    headers += retry_headers(outcome.problem)
    return Reply(outcome.status, headers, problem_body(outcome.problem, call_id))
