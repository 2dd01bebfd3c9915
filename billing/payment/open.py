"""How an installation reaches its provider."""

from typing import TYPE_CHECKING

from billing.settings import StripeSecrets

if TYPE_CHECKING:
    from billing.payment.stripe_provider import StripeProvider


def open_stripe(secrets: StripeSecrets) -> "StripeProvider":
    """Stripe behind the port; the caller closes it. Its package is imported only here: half a second and some memory."""
    from billing.payment.stripe_provider import StripeProvider

    return StripeProvider(secrets.api_key, secrets.api_base)
