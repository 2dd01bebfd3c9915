"""A sandbox's own clock: it stands where it was set, so that a month's end can be seen without waiting for it."""

from datetime import datetime

from catalog.accounts.account import Account
from catalog.accounts.refusal import invalid
from catalog.registry import audit
from catalog.transaction import Transaction, require_transaction
from catalog.vocabulary.clock import rfc3339


async def advance_test_clock(
    transaction: Transaction, account: Account, to: datetime, *, actor: str, now: datetime
) -> None:
    """Set the clock of an account's test environment; its test calls occur then, and its test months end by it.

    Until the first time the sandbox has the time of day; from then on its clock stands still between two advances. Live calls
    and live books are never concerned. `Problem` invalid-input: a clock is only put forward.
    """
    require_transaction(transaction)
    # The lock lets two who advance one clock see each other.
    stands_at: datetime | None = await transaction.fetchval(
        "SELECT test_clock FROM catalog.account WHERE id = $1 FOR UPDATE", account.id
    )
    before = stands_at or now
    if to <= before:
        raise invalid("/to", "forward", f"the clock stands at {rfc3339(before)} and never goes back")
    await transaction.execute("UPDATE catalog.account SET test_clock = $2 WHERE id = $1", account.id, to)
    detail = {"from": rfc3339(before), "to": rfc3339(to)}
    await audit.append(transaction, actor, "clock.advance", f"account/{account.id}", detail, now)
