"""/api: what an account-scoped key may read and change. Thin controllers over the doors."""

from gateway.control.api import (
    account,
    invoices,
    keys,
    outcomes,
    service_level,
    services,
    simulation,
    usage,
    usage_events,
)
from gateway.control.endpoint import Endpoint

_MODULES = (services, service_level, simulation, account, usage, usage_events, outcomes, invoices, keys)
HANDLERS = tuple(handler for module in _MODULES for handler in module.HANDLERS)
ENDPOINTS: tuple[Endpoint, ...] = tuple(endpoint for module in _MODULES for endpoint in module.ENDPOINTS)
