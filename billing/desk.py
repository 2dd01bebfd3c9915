"""Door: commands from people and the API."""

from billing.budget.budgets import THRESHOLDS_PCT, Scope, end_budget, set_budget
from billing.invoice.approval import Approval, approve
from billing.invoice.close import CloseReport, NotEnded, close, close_recorded
from billing.invoice.close_account import IssuedDocument, LeftDraft
from billing.invoice.contested import Contested, find_contested
from billing.invoice.credit_note import CreditLine, CreditNote, issue_credit_note, spread
from billing.invoice.dispute import open_dispute
from billing.invoice.issue_held import issue_held
from billing.invoice.results import Acceptance, accept_results
from billing.payment.account import collect_from, stop_collecting
from billing.payment.open import open_stripe
from billing.payment.outbox import release
from billing.payment.provider import ProviderAway, ProviderRefused
from billing.payment.reconcile import PaymentReport, reconcile_payments
from billing.prepaid.grants import PRIORITY_DEFAULT, grant_credit
from billing.report import accept
from billing.result.step import decline_result
from billing.settings import stripe_secrets
from billing.settlement.allocate import allocate
from billing.sla.maintenance import Maintenance, announce_maintenance
from billing.sla.outcome import Decision, contest, report_outcome, resolve
from billing.store.reported import Correction, Received, Reception, Report

__all__ = [
    "PRIORITY_DEFAULT",
    "THRESHOLDS_PCT",
    "Acceptance",
    "Approval",
    "CloseReport",
    "Contested",
    "Correction",
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
    "Scope",
    "accept",
    "accept_results",
    "allocate",
    "announce_maintenance",
    "approve",
    "close",
    "close_recorded",
    "collect_from",
    "contest",
    "decline_result",
    "end_budget",
    "find_contested",
    "grant_credit",
    "issue_credit_note",
    "issue_held",
    "open_dispute",
    "open_stripe",
    "reconcile_payments",
    "release",
    "report_outcome",
    "resolve",
    "set_budget",
    "spread",
    "stop_collecting",
    "stripe_secrets",
]
