"""/api/services/{service}/simulate-price: what a past month would have cost the account under other prices."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from billing import view
from billing.view import Simulation
from catalog.passport import OperationEntry
from catalog.plan import Plan, parse_plan
from catalog.registry.prices import unmetered
from catalog.terms_error import TermsError
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import FieldError, Problem, Text
from gateway.control.answer import answer
from gateway.control.asking import ControlRequest, read_body, read_query
from gateway.control.books import Books
from gateway.control.context import ControlContext
from gateway.control.endpoint import MONTH_OVER, SERVICE, Endpoint
from gateway.control.texts import MonthText
from gateway.proofs import Caller


class DraftTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A month, and plans in the form of a passport; each stands in for the plan of the same id."""

    period: Annotated[MonthText, msgspec.Meta(description="The month.")]
    plans: Annotated[tuple[dict[str, Any], ...], msgspec.Meta(min_length=1, max_length=20)]


@post("/api/services/{service:str}/simulate-price", name="simulate_price", status_code=200)
async def simulate_price(
    request: ControlRequest,
    context: NamedDependency[ControlContext],
    caller: NamedDependency[Caller],
    books: NamedDependency[Books],
    service: FromPath[str],
) -> Response[bytes]:
    """The account's own calls of a month, rated again; nothing is changed."""
    read_query(request)
    terms = await read_body(request, DraftTerms)
    passport = context.directory.current().catalogue.passports.get(service)
    if passport is None or service not in caller.subscriptions:
        raise Problem("not-found", f"The account has no subscription of a service {service!r}.")
    plans = _plans(terms, passport.operations)
    meters = {entry.id: entry.meter.quantity for entry in passport.operations}
    month, environment = Period.parse(terms.period), caller.environment
    async with books.read(caller.account_id) as transaction:
        return answer(await view.simulate(transaction, service, plans, month, environment, meters=meters))


def _plans(terms: DraftTerms, operations: Sequence[OperationEntry]) -> tuple[Plan, ...]:
    names = sorted(entry.id for entry in operations)
    plans: list[Plan] = []
    errors: list[FieldError] = []
    for index, document in enumerate(terms.plans):
        try:
            plans.append(parse_plan(document))
        except TermsError as refused:
            errors += refused.under(f"/plans/{index}").errors
            continue
        errors += [
            FieldError(
                f"/plans/{index}/prices/{place}/operation",
                "reference",
                f"the service has no operation {entry.operation!r}; it has {', '.join(names)}",
            )
            for place, entry in enumerate(plans[-1].prices)
            if entry.operation not in names
        ]
    errors += unmetered(plans, operations)
    if errors:
        raise Problem("invalid-input", f"{errors[0].pointer}: {errors[0].detail}.", errors=tuple(errors))
    return tuple(plans)


HANDLERS = (simulate_price,)
ENDPOINTS = (
    Endpoint(
        "simulate_price",
        "POST",
        "/api/services/{service}/simulate-price",
        Text(
            "What your calls of a month would have cost under other prices. Nothing is changed.",
            "某月的调用若按其他价格计费应付多少；不作任何更改。",
        ),
        Simulation,
        request=DraftTerms,
        example={
            "period": MONTH_OVER,
            "plans": [
                {
                    "id": "distributor-2026",
                    "audience": "external",
                    "effective_from": "2025-01-01",
                    "billable_on": "success",
                    "prices": [
                        {
                            "operation": "validate",
                            "currency": "CNY",
                            "model": "per_unit",
                            "price": {"unit_price": "0.070"},
                        }
                    ],
                }
            ],
        },
        parameters=(SERVICE,),
        problems=("not-found",),
    ),
)
