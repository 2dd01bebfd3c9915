"""Real money and a provider's play money never meet in one set of books.

Which of the two an installation is for is declared beside its key (`StripeSecrets.trial`), and fixed with the first payer
that it makes known to the provider: ids of one mode mean nothing in the other.
"""

from billing.payment.provider import ProviderRefused
from billing.transaction import Connection

_KNOWN = "SELECT DISTINCT livemode FROM billing.payment_account WHERE customer_id IS NOT NULL AND livemode IS NOT NULL"


async def known_mode(connection: Connection) -> bool | None:
    """Whether the payers that are known to the provider are known with real money; None while none is, or none of which it
    was kept."""
    mode: bool | None = await connection.fetchval(_KNOWN)
    return mode


async def require_mode(connection: Connection, *, livemode: bool) -> None:
    """`ProviderRefused` wrong-mode where payers are known in the other mode."""
    if await known_mode(connection) == (not livemode):
        raise ProviderRefused(
            f"wrong-mode: the payers of these books are known in Stripe's {mode_name(not livemode)} mode, the key is of its "
            f"{mode_name(livemode)} mode; what was collected stays in one: another mode needs another installation"
        )


async def keep_mode(connection: Connection, *, livemode: bool) -> None:
    """The same, and from now on payers that were known before modes were kept are of this one; the caller commits."""
    await require_mode(connection, livemode=livemode)
    await connection.execute(
        "UPDATE billing.payment_account SET livemode = $1 WHERE customer_id IS NOT NULL AND livemode IS NULL",
        livemode,
    )


def mode_name(livemode: bool) -> str:
    """The mode's name at Stripe."""
    return "live" if livemode else "test"
