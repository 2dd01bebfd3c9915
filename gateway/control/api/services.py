"""/api/services: the catalogue as the caller's account sees it."""

from collections.abc import Iterator

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from catalog.accounts.account import Account, find_account
from catalog.accounts.offer import is_shown
from catalog.load import Catalogue
from catalog.passport import Passport
from catalog.price_list import ListedPlan, price_list
from catalog.vocabulary.problem import Problem, Text
from gateway.control.answer import answer
from gateway.control.api.passport_view import LifecycleState, PassportView, passport_view, state_of
from gateway.control.asking import ControlRequest, page_of, read_query
from gateway.control.books import Books
from gateway.control.context import ControlContext
from gateway.control.endpoint import LIMIT, SERVICE, Endpoint, after
from gateway.proofs import Caller


class ServiceEntry(msgspec.Struct, frozen=True):
    """A service in the list. `subscribed_plan` is null where the account has no subscription."""

    service: str
    version: str
    name: Text
    summary: Text
    lifecycle: LifecycleState
    operations: tuple[str, ...]
    subscribed_plan: str | None


class ServicePage(msgspec.Struct, frozen=True):
    """Services by name; `next` is the `after` of the following page, null on the last."""

    data: tuple[ServiceEntry, ...]
    next: str | None


@get("/api/services", name="list_services")
async def list_services(
    request: ControlRequest,
    context: NamedDependency[ControlContext],
    caller: NamedDependency[Caller],
    books: NamedDependency[Books],
) -> Response[bytes]:
    """The services that the account can find in its catalogue."""
    query = read_query(request, "limit", "after")
    async with books.read(caller.account_id) as transaction:
        account = await find_account(transaction, caller.account_id)
    seen = sorted(_seen(context.directory.current().catalogue, caller, account), key=lambda one: one.service)
    page = page_of([passport.service for passport in seen], query)
    now_ns = context.clock.now_ns()
    data = tuple(_entry(passport, caller, now_ns) for passport in seen[page.start : page.end])
    return answer(ServicePage(data, data[-1].service if page.more else None))


@get("/api/services/{service:str}", name="read_service")
async def read_service(
    request: ControlRequest,
    context: NamedDependency[ControlContext],
    caller: NamedDependency[Caller],
    books: NamedDependency[Books],
    service: FromPath[str],
) -> Response[bytes]:
    """The passport of one of them, with the plans that the account could have."""
    read_query(request)
    async with books.read(caller.account_id) as transaction:
        account = await find_account(transaction, caller.account_id)
    catalogue, now_ns = context.directory.current().catalogue, context.clock.now_ns()
    for passport in _seen(catalogue, caller, account):
        if passport.service == service:
            listed = price_list(catalogue, passport, account.timezone, now_ns)
            plans = (plan for plan in listed if _may_have(plan, account))
            return answer(passport_view(passport, plans, _plan_of(caller, service, now_ns)))
    raise Problem("not-found", "The account's catalogue has no service of this name.")


def _seen(catalogue: Catalogue, caller: Caller, account: Account) -> Iterator[Passport]:
    """What is shown to the account, and what an operator has subscribed it to beyond that."""
    for passport in catalogue.passports.values():
        if is_shown(passport, account) or (passport.callable and passport.service in caller.subscriptions):
            yield passport


def _may_have(plan: ListedPlan, account: Account) -> bool:
    """Transfer prices inside the group are not for distributors, nor theirs for the group."""
    return plan.audience in ("both", "external" if account.kind == "external" else "internal")


def _entry(passport: Passport, caller: Caller, now_ns: int) -> ServiceEntry:
    return ServiceEntry(
        passport.service,
        passport.version,
        passport.name,
        passport.summary,
        state_of(passport),
        tuple(f"{passport.service}/{entry.id}" for entry in passport.operations),
        _plan_of(caller, passport.service, now_ns),
    )


def _plan_of(caller: Caller, service: str, now_ns: int) -> str | None:
    subscription = caller.subscription_to(service, now_ns)
    return None if subscription is None else subscription.plan_id


HANDLERS = (list_services, read_service)
ENDPOINTS = (
    Endpoint(
        "list_services",
        "GET",
        "/api/services",
        Text("The services that your account can call or subscribe to.", "您的账户可调用或订阅的服务。"),
        ServicePage,
        parameters=(LIMIT, after("address")),
        problems=("invalid-input",),
    ),
    Endpoint(
        "read_service",
        "GET",
        "/api/services/{service}",
        Text(
            "The passport of a service: operations, SLA, limits and prices.",
            "服务护照：操作、SLA、限额与价格。",
        ),
        PassportView,
        parameters=(SERVICE,),
        problems=("invalid-input", "not-found"),
    ),
)
