"""Which request is whose: method and path to an endpoint."""

import re
from collections.abc import Callable

from tests.fakes.stripe_server.errors import ApiError
from tests.fakes.stripe_server.invoices import Invoices
from tests.fakes.stripe_server.params import Params
from tests.fakes.stripe_server.payments import Payments
from tests.fakes.stripe_server.store import Object

_Endpoint = Callable[[str, Params], Object]


class Routes:
    """The table of everything that is served; whatever is not in it is a 404, never a guess."""

    def __init__(self, invoices: Invoices, payments: Payments) -> None:
        table: dict[str, _Endpoint] = {
            "POST /v1/customers": lambda _, params: invoices.create_customer(params),
            "GET /v1/customers/{}": lambda one, _: invoices.customer(one),
            "POST /v1/invoices": lambda _, params: invoices.create(params),
            "GET /v1/invoices": lambda _, params: invoices.list(params),
            "GET /v1/invoices/{}": lambda one, _: invoices.retrieve(one),
            "DELETE /v1/invoices/{}": lambda one, _: invoices.delete(one),
            "GET /v1/invoices/{}/lines": invoices.lines,
            "POST /v1/invoices/{}/add_lines": invoices.add_lines,
            "POST /v1/invoices/{}/finalize": invoices.finalize,
            "POST /v1/invoices/{}/pay": payments.pay,
            "POST /v1/invoices/{}/void": invoices.void,
            "POST /v1/invoices/{}/mark_uncollectible": invoices.mark_uncollectible,
            "POST /v1/invoiceitems": lambda _, params: invoices.create_item(params),
            "GET /v1/payment_intents/{}": payments.retrieve_intent,
            "GET /v1/invoice_payments": lambda _, params: payments.list_payments(params),
            "POST /v1/refunds": lambda _, params: payments.create_refund(params),
            "GET /v1/refunds": lambda _, params: payments.list_refunds(params),
            "GET /v1/disputes": lambda _, params: payments.list_disputes(params),
            "POST /v1/credit_notes": lambda _, params: payments.create_credit_note(params),
            "GET /v1/credit_notes": lambda _, params: payments.list_credit_notes(params),
        }
        self._table = [
            (re.compile(re.escape(pattern).replace(r"\{\}", "([A-Za-z0-9_]+)")), endpoint)
            for pattern, endpoint in table.items()
        ]

    def call(self, method: str, path: str, params: Params) -> Object:
        """Do what is asked; `ApiError` for a refusal."""
        for pattern, endpoint in self._table:
            if match := pattern.fullmatch(f"{method} {path}"):
                return endpoint(match[1] if match.groups() else "", params)
        raise ApiError(404, f"Unrecognized request URL ({method}: {path}).")
