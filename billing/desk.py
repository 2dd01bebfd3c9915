"""Door: commands from people and the API."""

from billing.invoice.close import CloseReport, IssuedDocument, LeftDraft, NotEnded, close, close_recorded
from billing.invoice.credit_note import CreditLine, CreditNote, issue_credit_note, spread
from billing.payment.account import collect_from, stop_collecting
from billing.payment.open import open_stripe
from billing.payment.outbox import release
from billing.payment.provider import ProviderAway, ProviderRefused
from billing.payment.reconcile import PaymentReport, reconcile_payments
from billing.settings import stripe_secrets
from billing.sla.maintenance import Maintenance, announce_maintenance
from billing.sla.outcome import Decision, contest, report_outcome, resolve
from billing.store.reported import Received, Reception, Report, accept

__all__ = [
    "CloseReport",
    "CreditLine",
    "CreditNote",
    "Decision",
    "IssuedDocument",
    "LeftDraft",
    "Maintenance",
    "NotEnded",
    "PaymentReport",
    "ProviderAway",
    "ProviderRefused",
    "Received",
    "Reception",
    "Report",
    "accept",
    "announce_maintenance",
    "close",
    "close_recorded",
    "collect_from",
    "contest",
    "issue_credit_note",
    "open_stripe",
    "reconcile_payments",
    "release",
    "report_outcome",
    "resolve",
    "spread",
    "stop_collecting",
    "stripe_secrets",
]
