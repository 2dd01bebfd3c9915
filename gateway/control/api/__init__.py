"""/api: what an account-scoped key may read and change. Thin controllers over the doors."""

from gateway.control.api import account, invoices, keys, services, usage
from gateway.control.endpoint import Endpoint

_MODULES = (services, account, usage, invoices, keys)
HANDLERS = tuple(handler for module in _MODULES for handler in module.HANDLERS)
ENDPOINTS: tuple[Endpoint, ...] = tuple(endpoint for module in _MODULES for endpoint in module.ENDPOINTS)
