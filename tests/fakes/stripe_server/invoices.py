"""Customers and invoices: draft, open, paid, void or uncollectible."""

from typing import Any

from tests.fakes.stripe_server.errors import invalid, not_now
from tests.fakes.stripe_server.params import Params, entries, flag, integer, metadata, only, text
from tests.fakes.stripe_server.store import Object, Store, paged

_PAGING = ("limit", "starting_after")
_LINE = ("amount", "description", "discountable", "metadata", "period", "quantity", "tax_amounts")


class Invoices:
    """The endpoints under /v1/customers, /v1/invoices and /v1/invoiceitems."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._numbers = 0
        # What a forgotten setting of the account would do: a tax on every draft, in minor units.
        self.surprise_tax = 0

    def create_customer(self, params: Params) -> Object:
        """POST /v1/customers"""
        only(params, "name", "email", "address", "metadata", "description", "preferred_locales")
        customer = self._store.add(
            "customer",
            "cus",
            {
                "name": params.get("name"),
                "address": params.get("address"),
                "metadata": metadata(params),
                "balance": 0,
            },
        )
        self._store.emit("customer.created", customer)
        return customer

    def customer(self, customer_id: str) -> Object:
        """GET /v1/customers/{id}"""
        return self._store.get("customer", customer_id)

    def create(self, params: Params) -> Object:
        """POST /v1/invoices: an empty draft."""
        only(
            params,
            "customer",
            "currency",
            "number",
            "auto_advance",
            "automatic_tax",
            "collection_method",
            "days_until_due",
            "due_date",
            "pending_invoice_items_behavior",
            "description",
            "metadata",
        )
        customer = self._store.get("customer", text(params, "customer"), "customer")
        method = params.get("collection_method", "charge_automatically")
        given = {name: integer(params, name) for name in ("days_until_due", "due_date") if name in params}
        if len(given) != (method == "send_invoice"):
            raise invalid("send_invoice, and no other, takes days_until_due or due_date.", "days_until_due")
        if given.get("due_date", self._store.now + 1) <= self._store.now:
            raise invalid("The due date has passed.", "due_date")
        number = params.get("number")
        if number is not None and any(one["number"] == number for one in self._store.all("invoice")):
            raise invalid(f"The number {number} is in use.", "number", "invoice_number_in_use")
        invoice = self._store.add(
            "invoice",
            "in",
            {
                "customer": customer["id"],
                "currency": params.get("currency", "usd"),
                "number": number,
                "status": "draft",
                "auto_advance": flag(params, "auto_advance", False),
                "collection_method": method,
                "days_until_due": given.get("days_until_due"),
                "due_date": given.get("due_date"),
                "metadata": metadata(params),
                "amount_paid": 0,
                "pre_payment_credit_notes_amount": 0,
                "post_payment_credit_notes_amount": 0,
                "lines": {"object": "list", "has_more": False, "data": []},
            },
        )
        self._sum(invoice)
        self._store.emit("invoice.created", invoice)
        return invoice

    def retrieve(self, invoice_id: str) -> Object:
        """GET /v1/invoices/{id}"""
        return self._store.get("invoice", invoice_id)

    def list(self, params: Params) -> Object:
        """GET /v1/invoices"""
        only(params, *_PAGING, "customer", "status")
        return self._store.page(
            "invoice",
            params,
            lambda one: all(one[name] == params.get(name, one[name]) for name in ("customer", "status")),
            "/v1/invoices",
        )

    def lines(self, invoice_id: str, params: Params) -> Object:
        """GET /v1/invoices/{id}/lines"""
        only(params, *_PAGING)
        found = self.retrieve(invoice_id)["lines"]["data"]
        return paged(found, params, f"/v1/invoices/{invoice_id}/lines")

    def add_lines(self, invoice_id: str, params: Params) -> Object:
        """POST /v1/invoices/{id}/add_lines: all or none."""
        only(params, "lines", "invoice_metadata")
        invoice = self._draft(invoice_id)
        wanted = entries(params, "lines")
        for line in wanted:
            only(line, *_LINE)
            integer(line, "amount")
            metadata(line)
        for line in wanted:
            self._add(invoice, line)
        return invoice

    def create_item(self, params: Params) -> Object:
        """POST /v1/invoiceitems on a draft."""
        only(params, *_LINE, "customer", "currency", "invoice")
        invoice = self._draft(text(params, "invoice"))
        integer(params, "amount")
        return self._add(invoice, params)

    def finalize(self, invoice_id: str, params: Params) -> Object:
        """POST /v1/invoices/{id}/finalize: open, or paid at once where nothing is due."""
        only(params, "auto_advance")
        invoice = self._draft(invoice_id)
        if invoice["number"] is None:
            self._numbers += 1
            invoice["number"] = f"FAKE-{self._numbers:04d}"
        invoice["status"] = "paid" if invoice["amount_remaining"] <= 0 else "open"
        if invoice["days_until_due"] is not None:
            invoice["due_date"] = self._store.now + 86_400 * invoice["days_until_due"]
        self._store.emit("invoice.finalized", invoice)
        return invoice

    def void(self, invoice_id: str, params: Params) -> Object:
        """POST /v1/invoices/{id}/void"""
        only(params)
        invoice = self.retrieve(invoice_id)
        if invoice["status"] not in ("open", "uncollectible"):
            raise not_now(
                f"You can only void open or uncollectible invoices, this one is {invoice['status']}."
            )
        invoice["status"] = "void"
        self._store.emit("invoice.voided", invoice)
        return invoice

    def mark_uncollectible(self, invoice_id: str, params: Params) -> Object:
        """POST /v1/invoices/{id}/mark_uncollectible"""
        only(params)
        invoice = self.retrieve(invoice_id)
        if invoice["status"] != "open":
            raise not_now("Only open invoices can be marked uncollectible.")
        invoice["status"] = "uncollectible"
        self._store.emit("invoice.marked_uncollectible", invoice)
        return invoice

    def delete(self, invoice_id: str) -> Object:
        """DELETE /v1/invoices/{id}: drafts only."""
        self._draft(invoice_id)
        self._store.remove("invoice", invoice_id)
        return {"id": invoice_id, "object": "invoice", "deleted": True}

    def settle(self, invoice: Object) -> None:
        """What follows from payments and credit notes: amounts, and open or paid."""
        self._sum(invoice)
        if invoice["status"] in ("open", "uncollectible") and invoice["amount_remaining"] == 0:
            invoice["status"] = "paid"
            for type_ in ("invoice.paid", "invoice.payment_succeeded"):
                self._store.emit(type_, invoice)

    def _draft(self, invoice_id: str) -> Object:
        invoice = self.retrieve(invoice_id)
        if invoice["status"] != "draft":
            raise not_now("This invoice is finalized and cannot be changed.", "invoice_not_editable")
        return invoice

    def _add(self, invoice: Object, line: Params) -> Object:
        added: dict[str, Any] = {
            "id": self._store.new_id("il"),
            "object": "line_item",
            "amount": integer(line, "amount"),
            "currency": invoice["currency"],
            "description": line.get("description"),
            "discountable": flag(line, "discountable", True),
            "invoice": invoice["id"],
            "metadata": metadata(line),
        }
        invoice["lines"]["data"].append(added)
        self._sum(invoice)
        return added

    def _sum(self, invoice: Object) -> None:
        subtotal = sum(line["amount"] for line in invoice["lines"]["data"])
        invoice["subtotal"] = subtotal
        invoice["total"] = subtotal + (self.surprise_tax if subtotal else 0)
        invoice["amount_due"] = invoice["total"] - invoice["pre_payment_credit_notes_amount"]
        invoice["amount_remaining"] = invoice["amount_due"] - invoice["amount_paid"]
