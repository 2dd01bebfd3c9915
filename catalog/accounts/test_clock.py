"""A sandbox's own clock: it stands where it was set, so that a month's end can be seen without waiting for it."""

from datetime import datetime, timedelta

from catalog.accounts.account import Account
from catalog.accounts.refusal import invalid
from catalog.registry import audit
from catalog.transaction import Transaction, require_transaction
from catalog.vocabulary.clock import rfc3339
from catalog.vocabulary.ids import Environment

# A clock never goes back, so one slip of the hand must not cost an account its sandbox: two years with their leap day.
_AHEAD_MAX = timedelta(days=731)
_AHEAD_MAX_NS = _AHEAD_MAX.days * 86_400 * 1_000_000_000


def sandbox_time(stands_at: datetime, now: datetime) -> datetime:
    """What time it is in a sandbox whose clock was set, when the time of day is `now`.

    One that was put further ahead before advances were bounded stands at the bound, which goes on with the time of day.
    """
    return min(stands_at, now + _AHEAD_MAX)


def sandbox_time_ns(stands_at_ns: int, now_ns: int) -> int:
    """The same in nanoseconds since the epoch, for each call."""
    return min(stands_at_ns, now_ns + _AHEAD_MAX_NS)


async def books_time(
    transaction: Transaction, account_id: str, environment: Environment, now: datetime
) -> datetime:
    """What time it is in an account's books when the time of day is `now`: that, or what its sandbox's clock shows."""
    if environment == "live":
        return now
    stands_at: datetime | None = await transaction.fetchval(
        "SELECT test_clock FROM catalog.account WHERE id = $1", account_id
    )
    return now if stands_at is None else sandbox_time(stands_at, now)


async def advance_test_clock(
    transaction: Transaction, account: Account, to: datetime, *, actor: str, now: datetime
) -> None:
    """Set the clock of an account's test environment; its test calls occur then, and its test months end by it.

    Until the first time the sandbox has the time of day; from then on its clock stands still between two advances. Live calls
    and live books are never concerned. `Problem` invalid-input: a clock is only put forward, and at most 731 days beyond `now`.
    """
    require_transaction(transaction)
    # The lock lets two who advance one clock see each other.
    stored: datetime | None = await transaction.fetchval(
        "SELECT test_clock FROM catalog.account WHERE id = $1 FOR UPDATE", account.id
    )
    before = now if stored is None else sandbox_time(stored, now)
    if to <= before:
        raise invalid("/to", "forward", f"the clock stands at {rfc3339(before)} and never goes back")
    latest = now + _AHEAD_MAX
    if to > latest:
        remedy = (
            f"a sandbox is at most {_AHEAD_MAX.days} days ahead of the time of day, and its clock never goes back: write a day "
            f"up to {latest.date()}, and put it forward month by month, closing each"
        )
        raise invalid("/to", "ahead", remedy)
    await transaction.execute("UPDATE catalog.account SET test_clock = $2 WHERE id = $1", account.id, to)
    detail = {"from": rfc3339(before), "to": rfc3339(to)}
    await audit.append(transaction, actor, "clock.advance", f"account/{account.id}", detail, now)
