"""Payments, refunds, credit notes and disputes of invoices."""

from tests.fakes.stripe_server.errors import invalid, not_now
from tests.fakes.stripe_server.invoices import Invoices
from tests.fakes.stripe_server.params import Params, entries, flag, integer, metadata, only, text
from tests.fakes.stripe_server.store import Object, Store

_PAGING = ("limit", "starting_after")
DISPUTE_FEE = 1500


class Payments:
    """The endpoints under /v1/invoice_payments, /v1/refunds, /v1/disputes and /v1/credit_notes."""

    def __init__(self, store: Store, invoices: Invoices) -> None:
        self._store = store
        self._invoices = invoices
        # What is kept of each payment from now on.
        self.fee = 0
        # What becomes of each refund from now on.
        self.refund_state = "succeeded"

    def pay(self, invoice_id: str, params: Params) -> Object:
        """POST /v1/invoices/{id}/pay: all that remains."""
        only(params, "paid_out_of_band", "payment_method", "off_session")
        invoice = self._invoices.retrieve(invoice_id)
        if invoice["status"] not in ("open", "uncollectible"):
            raise not_now(f"This invoice is {invoice['status']}.", "invoice_not_open")
        if flag(params, "paid_out_of_band", False):
            # Since version 2025-03-31 the amount paid has what was paid out of band as well.
            invoice["amount_paid"] += invoice["amount_remaining"]
            self._invoices.settle(invoice)
            return invoice
        self.receive(invoice, invoice["amount_remaining"])
        return invoice

    def receive(self, invoice: Object, amount: int) -> Object:
        """Money arrives for an invoice: a payment intent and what it pays for; answers the intent."""
        common = {"currency": invoice["currency"]}
        intent = self._store.add(
            "payment_intent",
            "pi",
            {**common, "amount": amount, "amount_received": amount, "status": "succeeded", "refunded": 0},
        )
        charge = self._store.add("charge", "ch", {**common, "amount": amount, "payment_intent": intent["id"]})
        charge["balance_transaction"] = self._balance(invoice["currency"], amount, self.fee, "charge")
        intent["latest_charge"] = charge["id"]
        payment = self._store.add(
            "invoice_payment",
            "inpay",
            {
                **common,
                "invoice": invoice["id"],
                "amount_paid": amount,
                "amount_requested": amount,
                "is_default": True,
                "status": "paid",
                "payment": {"type": "payment_intent", "payment_intent": intent["id"]},
            },
        )
        invoice["amount_paid"] += amount
        self._store.emit("payment_intent.succeeded", intent)
        self._store.emit("invoice_payment.paid", payment)
        self._invoices.settle(invoice)
        return intent

    def retrieve_intent(self, intent_id: str, params: Params) -> Object:
        """GET /v1/payment_intents/{id}; with its charge and what was kept of it where that is asked for."""
        only(params)
        intent = self._store.get("payment_intent", intent_id, "intent")
        if "latest_charge.balance_transaction" in params.get("expand", ()):
            return {**intent, "latest_charge": self._store.get("charge", intent["latest_charge"])}
        return intent

    def list_payments(self, params: Params) -> Object:
        """GET /v1/invoice_payments"""
        only(params, *_PAGING, "invoice", "status", "payment")
        wanted = params.get("payment", {}).get("payment_intent")
        return self._store.page(
            "invoice_payment",
            params,
            lambda one: (
                all(one[name] == params.get(name, one[name]) for name in ("invoice", "status"))
                and wanted in (None, one["payment"].get("payment_intent"))
            ),
            "/v1/invoice_payments",
        )

    def create_refund(self, params: Params) -> Object:
        """POST /v1/refunds of a payment intent."""
        only(params, "payment_intent", "amount", "reason", "metadata")
        intent = self._store.get("payment_intent", text(params, "payment_intent"), "payment_intent")
        amount = integer(params, "amount", intent["amount"] - intent["refunded"])
        return self._refund(intent, amount, metadata(params))

    def list_refunds(self, params: Params) -> Object:
        """GET /v1/refunds"""
        return self._of_intent("refund", params, "/v1/refunds")

    def fail_refund(self, refund_id: str) -> None:
        """The bank sends the money back."""
        refund = self._store.get("refund", refund_id)
        refund["status"] = "failed"
        self._store.get("payment_intent", refund["payment_intent"])["refunded"] -= refund["amount"]
        self._store.emit("refund.failed", refund)

    def list_disputes(self, params: Params) -> Object:
        """GET /v1/disputes"""
        return self._of_intent("dispute", params, "/v1/disputes")

    def open_dispute(self, payment_intent: str, amount: int, *, inquiry: bool = False) -> Object:
        """The payer's bank reclaims money, or only asks."""
        intent = self._store.get("payment_intent", payment_intent)
        dispute = self._store.add(
            "dispute",
            "du",
            {
                "amount": amount,
                "currency": intent["currency"],
                "charge": intent["latest_charge"],
                "payment_intent": payment_intent,
                "reason": "general",
                "status": "warning_needs_response" if inquiry else "needs_response",
                "balance_transactions": [],
            },
        )
        self._store.emit("charge.dispute.created", dispute)
        if not inquiry:
            self._move(dispute, -amount, DISPUTE_FEE)
            self._store.emit("charge.dispute.funds_withdrawn", dispute)
        return dispute

    def decide_dispute(self, dispute_id: str, *, won: bool) -> Object:
        """The bank has decided; after a win the money and the fee come back."""
        dispute = self._store.get("dispute", dispute_id)
        dispute["status"] = "won" if won else "lost"
        if won:
            self._move(dispute, dispute["amount"], -DISPUTE_FEE)
            self._store.emit("charge.dispute.funds_reinstated", dispute)
        self._store.emit("charge.dispute.closed", dispute)
        return dispute

    def create_credit_note(self, params: Params) -> Object:
        """POST /v1/credit_notes: first what is open, then a refund or a note that it was settled elsewhere."""
        only(
            params,
            "invoice",
            "lines",
            "amount",
            "memo",
            "metadata",
            "email_type",
            "reason",
            "refund_amount",
            "refunds",
            "credit_amount",
            "out_of_band_amount",
        )
        invoice = self._store.get("invoice", text(params, "invoice"), "invoice")
        if invoice["status"] not in ("open", "paid", "uncollectible"):
            raise not_now(f"A credit note needs an open or paid invoice, this one is {invoice['status']}.")
        total = self._credit_total(params)
        links = self._links(invoice, params)
        if not 0 < total <= self._creditable(invoice, {one["refund"] for one in links}):
            raise not_now(
                "The credit note is more than what is left of the invoice.", "credit_note_too_large"
            )
        before = min(total, invoice["amount_remaining"])
        ways = {
            name: integer(params, name, 0)
            for name in ("refund_amount", "credit_amount", "out_of_band_amount")
        }
        if sum(ways.values()) + sum(one["amount_refunded"] for one in links) != total - before:
            raise invalid(
                f"refund, credit and out of band amounts must sum to {total - before}.", "out_of_band_amount"
            )
        made = []
        if ways["refund_amount"]:
            made.append(self._refund(self._only_intent(invoice), ways["refund_amount"], {}))
        note = self._store.add(
            "credit_note",
            "cn",
            {
                "invoice": invoice["id"],
                "customer": invoice["customer"],
                "currency": invoice["currency"],
                "status": "issued",
                "total": total,
                "amount": total,
                "pre_payment_amount": before,
                "post_payment_amount": total - before,
                "out_of_band_amount": ways["out_of_band_amount"] or None,
                "refunds": [
                    *links,
                    *(
                        {"type": "refund", "refund": one["id"], "amount_refunded": one["amount"]}
                        for one in made
                    ),
                ],
                "memo": params.get("memo"),
                "metadata": metadata(params),
            },
        )
        invoice["pre_payment_credit_notes_amount"] += before
        invoice["post_payment_credit_notes_amount"] += total - before
        self._store.emit("credit_note.created", note)
        self._invoices.settle(invoice)
        return note

    def list_credit_notes(self, params: Params) -> Object:
        """GET /v1/credit_notes"""
        only(params, *_PAGING, "invoice", "customer")
        return self._store.page(
            "credit_note",
            params,
            lambda one: all(one[name] == params.get(name, one[name]) for name in ("invoice", "customer")),
            "/v1/credit_notes",
        )

    def _credit_total(self, params: Params) -> int:
        if "amount" in params:
            return integer(params, "amount")
        total = 0
        for line in entries(params, "lines"):
            only(line, "type", "description", "quantity", "unit_amount", "metadata")
            if line.get("type") != "custom_line_item":
                raise invalid("Only custom_line_item is known here.", "lines[type]")
            total += integer(line, "quantity") * integer(line, "unit_amount")
        return total

    def _links(self, invoice: Object, params: Params) -> list[Object]:
        """Refunds of the invoice's payments that a note names, none for more than is left of it."""
        paid = {intent["id"] for intent in self._intents(invoice)}
        linked = self._linked(invoice)
        links = []
        for one in entries(params, "refunds") if "refunds" in params else ():
            only(one, "type", "refund", "amount_refunded")
            refund = self._store.get("refund", text(one, "refund"), "refunds[refund]")
            left = refund["amount"] - linked.get(refund["id"], 0)
            amount = integer(one, "amount_refunded", left)
            if refund["payment_intent"] not in paid or not 0 < amount <= left:
                raise invalid(f"Refund {refund['id']} has no {amount} left for this invoice.", "refunds")
            links.append({"type": "refund", "refund": refund["id"], "amount_refunded": amount})
        return links

    def _linked(self, invoice: Object) -> dict[str, int]:
        linked: dict[str, int] = {}
        for note in self._store.all("credit_note"):
            if note["invoice"] == invoice["id"] and note["status"] == "issued":
                for one in note["refunds"]:
                    linked[one["refund"]] = linked.get(one["refund"], 0) + one["amount_refunded"]
        return linked

    def _creditable(self, invoice: Object, naming: set[str]) -> int:
        """What can still be credited: refunds that belong to no note, and are not named by this one, lower it."""
        credited = invoice["pre_payment_credit_notes_amount"] + invoice["post_payment_credit_notes_amount"]
        paid, linked = {intent["id"] for intent in self._intents(invoice)}, self._linked(invoice)
        alone = sum(
            one["amount"] - linked.get(one["id"], 0)
            for one in self._store.all("refund")
            if one["payment_intent"] in paid and one["status"] != "failed" and one["id"] not in naming
        )
        left: int = invoice["total"] - credited - alone
        return left

    def _intents(self, invoice: Object) -> list[Object]:
        return [
            self._store.get("payment_intent", one["payment"]["payment_intent"])
            for one in self._store.all("invoice_payment")
            if one["invoice"] == invoice["id"] and "payment_intent" in one["payment"]
        ]

    def _only_intent(self, invoice: Object) -> Object:
        """The payment that `refund_amount` is taken from: the one that the invoice has."""
        intents = self._intents(invoice)
        if len(intents) != 1:
            raise invalid(f"{len(intents)} payments of this invoice could be refunded.", "refund_amount")
        return intents[0]

    def _refund(self, intent: Object, amount: int, marks: dict[str, str]) -> Object:
        if not 0 < amount <= intent["amount"] - intent["refunded"]:
            raise not_now("The refund is more than what was paid.", "amount_too_large")
        if self.refund_state != "failed":
            intent["refunded"] += amount
        refund = self._store.add(
            "refund",
            "re",
            {
                "amount": amount,
                "currency": intent["currency"],
                "payment_intent": intent["id"],
                "charge": intent["latest_charge"],
                "metadata": marks,
                "status": self.refund_state,
            },
        )
        self._store.emit("refund.created", refund)
        return refund

    def _of_intent(self, kind: str, params: Params, url: str) -> Object:
        only(params, *_PAGING, "payment_intent", "charge")
        return self._store.page(
            kind,
            params,
            lambda one: all(
                one[name] == params.get(name, one[name]) for name in ("payment_intent", "charge")
            ),
            url,
        )

    def _move(self, dispute: Object, amount: int, fee: int) -> None:
        moved = self._balance(dispute["currency"], amount, fee, "adjustment")
        dispute["balance_transactions"].append(moved)

    def _balance(self, currency: str, amount: int, fee: int, kind: str) -> Object:
        return {
            "id": self._store.new_id("txn"),
            "object": "balance_transaction",
            "amount": amount,
            "fee": fee,
            "net": amount - fee,
            "currency": currency,
            "type": kind,
        }
