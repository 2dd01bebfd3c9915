"""/api/account: whose key this is."""

from typing import Any

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency

from catalog.accounts.account import AccountKind, find_account
from catalog.accounts.application import list_applications, list_cost_centres
from catalog.accounts.subscription import list_subscriptions
from catalog.vocabulary.clock import rfc3339
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.problem import Text
from gateway.api_key import shown_id
from gateway.control.answer import answer
from gateway.control.asking import ControlRequest, read_query
from gateway.control.books import Books
from gateway.control.endpoint import Endpoint
from gateway.proofs import Caller


class CredentialView(msgspec.Struct, frozen=True):
    """The key of this request, without its secret."""

    id: str
    environment: Environment
    application_id: str
    scopes: tuple[str, ...]


class ApplicationView(msgspec.Struct, frozen=True):
    """A program of the account; `cost_centre_id` is null where its calls are the account's own."""

    id: str
    name: str
    cost_centre_id: str | None


class SubscriptionView(msgspec.Struct, frozen=True):
    """A current subscription."""

    id: str
    service: str
    plan_id: str
    starts_at: str


class CostCentreView(msgspec.Struct, frozen=True):
    """A part of the account that its statement shows by itself."""

    id: str
    name: str


class AccountView(msgspec.Struct, frozen=True):
    """The account. `billing_profile` is null until somebody has filled it in."""

    id: str
    name: str
    title: Text
    kind: AccountKind
    currency: str
    timezone: str
    billing_profile: dict[str, Any] | None
    key: CredentialView
    applications: tuple[ApplicationView, ...]
    cost_centres: tuple[CostCentreView, ...]
    subscriptions: tuple[SubscriptionView, ...]


@get("/api/account", name="read_account")
async def read_account(
    request: ControlRequest, caller: NamedDependency[Caller], books: NamedDependency[Books]
) -> Response[bytes]:
    """The caller's own account with its applications, cost centres and current subscriptions."""
    read_query(request)
    async with books.read(caller.account_id) as transaction:
        account = await find_account(transaction, caller.account_id)
        applications = await list_applications(transaction, account)
        cost_centres = await list_cost_centres(transaction, account)
        subscriptions = await list_subscriptions(transaction, account)
    return answer(
        AccountView(
            id=account.id,
            name=account.name,
            title=account.title,
            kind=account.kind,
            currency=account.currency,
            timezone=account.timezone,
            billing_profile=account.billing_profile,
            key=CredentialView(
                shown_id(caller.environment, caller.key_id),
                caller.environment,
                caller.application_id,
                tuple(sorted(caller.scopes)),
            ),
            applications=tuple(ApplicationView(one.id, one.name, one.cost_centre_id) for one in applications),
            cost_centres=tuple(CostCentreView(one.id, one.name) for one in cost_centres),
            subscriptions=tuple(
                SubscriptionView(one.id, one.service, one.plan_id, rfc3339(one.starts_at))
                for one in subscriptions
                if one.ends_at is None
            ),
        )
    )


HANDLERS = (read_account,)
ENDPOINTS = (
    Endpoint(
        "read_account",
        "GET",
        "/api/account",
        Text("Your account, and the key of this request.", "您的账户以及本次请求所用的密钥。"),
        AccountView,
        problems=("invalid-input",),
    ),
)
