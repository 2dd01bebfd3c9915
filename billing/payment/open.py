"""How an installation reaches its provider."""

from typing import TYPE_CHECKING

from billing.payment.provider import ProviderRefused
from billing.settings import StripeSecrets

if TYPE_CHECKING:
    from billing.payment.stripe_provider import StripeProvider


def open_stripe(secrets: StripeSecrets) -> "StripeProvider":
    """Stripe behind the port; the caller closes it. `ProviderRefused` wrong-mode for a key of the mode that the installation
    is not for. Its package is imported only here: half a second and some memory."""
    if secrets.mismatch:
        raise ProviderRefused(f"wrong-mode: {secrets.mismatch}")
    from billing.payment.stripe_provider import StripeProvider

    return StripeProvider(secrets.api_key, secrets.api_base)
