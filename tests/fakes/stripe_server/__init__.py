"""A small Stripe of ours: stateful, over real HTTP, with keys, idempotency, webhooks and faults on demand.

Its shapes follow https://docs.stripe.com/api and are held against Stripe's own `stripe-mock` and, with a test key, against
Stripe itself by `tests/contract/test_stripe_port.py` and `tests/conformance/stripe_shapes.py`.
"""

from tests.fakes.stripe_server.server import API_KEY, LIVE_KEY, WEBHOOK_SECRET, FakeStripe, running_stripe

__all__ = ["API_KEY", "LIVE_KEY", "WEBHOOK_SECRET", "FakeStripe", "running_stripe"]
