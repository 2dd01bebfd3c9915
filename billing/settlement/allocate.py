"""An allocation rule is set for months whose documents are still open, so that what was charged back stays as it was."""

from collections.abc import Sequence
from datetime import datetime

from billing.invoice.month import lock_books, period_of
from billing.transaction import Connection
from catalog.accounts.account import Account
from catalog.accounts.allocation import AllocationPart, AllocationRule, set_allocation
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Problem


async def allocate(
    transaction: Connection,
    account: Account,
    scope: str,
    effective_from: Period,
    parts: Sequence[AllocationPart],
    *,
    actor: str,
    now: datetime,
) -> AllocationRule:
    """Set a rule of the account; see `set_allocation`.

    `Problem` invalid-input, and conflict where a document of its months is issued. The account is in scope.
    """
    await lock_books(transaction, account.id, "live")
    last = await transaction.fetchval(
        "SELECT max(period) FROM billing.invoice WHERE account_id = $1 AND environment = 'live' AND state = 'issued'",
        account.id,
    )
    if last is not None and period_of(last) >= effective_from:
        raise Problem(
            "conflict",
            f"The document of {period_of(last)} is issued, and its chargeback stays as it is: "
            f"let the rule begin with {period_of(last).next()} or later.",
        )
    return await set_allocation(transaction, account, scope, effective_from, parts, actor=actor, now=now)
