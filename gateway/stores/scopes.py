"""What a key's scopes can name: what is on sale to its account, and what the control plane asks a scope for."""

import re
from collections.abc import Sequence

from catalog.accounts.account import Account
from catalog.accounts.offer import is_shown
from catalog.passport import Passport
from catalog.registry.published import current
from catalog.transaction import Transaction
from catalog.vocabulary.problem import FieldError

ALL_SCOPES = ("*",)
REPORT_USAGE = "usage/report"
_SCOPE = re.compile(r"\*|[a-z][a-z0-9-]{0,39}/(\*|[a-z][a-z0-9-]{0,39})")
_FORMS = f"* for everything, SERVICE/* or SERVICE/OPERATION, and {REPORT_USAGE} for the API"


async def scope_errors(transaction: Transaction, account: Account, scopes: Sequence[str]) -> list[FieldError]:
    """What is wrong with each scope: its form, or that the account's catalogue has nothing of that name.

    A service that is not shown to the account counts only where the account is subscribed to it.
    """
    named = [scope for scope in scopes if scope not in (*ALL_SCOPES, REPORT_USAGE)]
    passports = await _offered(transaction, account) if named else {}
    return [
        FieldError(f"/scopes/{index}", *wrong)
        for index, scope in enumerate(scopes)
        if scope in named and (wrong := _wrong(scope, passports))
    ]


def _wrong(scope: str, passports: dict[str, Passport]) -> tuple[str, str] | None:
    if not _SCOPE.fullmatch(scope):
        return "scope", "write * or a service (stock/*) or an operation (stock/reserve)"
    service, _, operation = scope.partition("/")
    passport = passports.get(service)
    if passport is None:
        on_sale = f"on sale are {', '.join(passports)}" if passports else "nothing is on sale to it yet"
        return "reference", f"the account's catalogue has no service {service!r}; {on_sale}; write {_FORMS}"
    if operation != "*" and passport.operation(operation) is None:
        known = ", ".join(f"{service}/{entry.id}" for entry in passport.operations)
        return "reference", f"{service} has no operation {operation!r}; write {service}/* or {known}"
    return None


async def _offered(transaction: Transaction, account: Account) -> dict[str, Passport]:
    subscribed = {
        row["service"]
        for row in await transaction.fetch(
            "SELECT service FROM catalog.subscription WHERE account_id = $1", account.id
        )
    }
    return {
        service: published.passport
        for service, published in (await current(transaction)).items()
        if published.passport.callable and (is_shown(published.passport, account) or service in subscribed)
    }
