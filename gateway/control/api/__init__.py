"""/api: what an account-scoped key may read and change. Thin controllers over the doors."""

from gateway.control.api import (
    account,
    allowances,
    invoices,
    keys,
    outcomes,
    results,
    service_level,
    services,
    settlement,
    simulation,
    usage,
    usage_events,
)
from gateway.control.endpoint import Endpoint

_MODULES = (
    services,
    service_level,
    simulation,
    account,
    allowances,
    usage,
    usage_events,
    outcomes,
    results,
    invoices,
    settlement,
    keys,
)
HANDLERS = tuple(handler for module in _MODULES for handler in module.HANDLERS)
ENDPOINTS: tuple[Endpoint, ...] = tuple(endpoint for module in _MODULES for endpoint in module.ENDPOINTS)
