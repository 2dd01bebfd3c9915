"""/api/services/{service}/sla: what a service promised, what it attained and what it gave back."""

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from billing import view
from billing.view import ServiceLevel
from catalog.accounts.account import find_account
from catalog.accounts.offer import is_shown
from catalog.vocabulary.problem import Problem, Text
from gateway.control.answer import answer
from gateway.control.asking import ControlRequest, read_month, read_query
from gateway.control.books import Books
from gateway.control.context import ControlContext
from gateway.control.endpoint import PERIOD, SERVICE, Endpoint
from gateway.proofs import Caller


@get("/api/services/{service:str}/sla", name="read_service_level")
async def read_service_level(
    request: ControlRequest,
    context: NamedDependency[ControlContext],
    caller: NamedDependency[Caller],
    books: NamedDependency[Books],
    service: FromPath[str],
) -> Response[bytes]:
    """A month of a service that the account can find in its catalogue, with the account's own figures and credits.

    With a test key they are those of the account's sandbox, whose own time says which month is running.
    """
    query = read_query(request, "period")
    passport = context.directory.current().catalogue.passports.get(service)
    async with books.read(caller.account_id) as transaction:
        account = await find_account(transaction, caller.account_id)
        seen = passport is not None and (
            is_shown(passport, account) or (passport.callable and service in caller.subscriptions)
        )
        if passport is None or not seen:
            raise Problem("not-found", "The account's catalogue has no service of this name.")
        period = read_month(query, caller, context.clock.now_ns())
        return answer(
            await view.service_level(
                transaction, passport, period, caller.account_id, account.timezone, caller.environment
            )
        )


HANDLERS = (read_service_level,)
ENDPOINTS = (
    Endpoint(
        "read_service_level",
        "GET",
        "/api/services/{service}/sla",
        Text(
            "What a service promised and attained in a month, for all and for your account, and what it gave back; "
            "with a test key, what your own test calls attained in the sandbox.",
            "某服务当月的承诺与达成情况（全体与您的账户），以及已赔付金额；使用测试密钥时为沙箱中您自己的测试调用的达成情况。",
        ),
        ServiceLevel,
        parameters=(
            SERVICE,
            PERIOD,
        ),
        problems=("invalid-input", "not-found"),
    ),
)
