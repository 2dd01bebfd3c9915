"""The control plane: one Litestar application of thin controllers over the doors."""

from litestar import Litestar
from litestar.di import Provide

from gateway.control import health
from gateway.control.context import ControlContext


def build_control(context: ControlContext) -> Litestar:
    """The application for everything that is not a metered call."""
    return Litestar(
        route_handlers=[health.healthz, health.readyz, health.metrics],
        dependencies={"context": Provide(lambda: context, sync_to_thread=False, use_cache=True)},
        openapi_config=None,
        logging_config=None,
        debug=False,
    )
