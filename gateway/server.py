"""A worker's HTTP server: calls go straight to the pipeline, all else to the control plane."""

import contextlib
from collections.abc import Iterator

import uvicorn

from gateway.app import Gateway
from gateway.http_protocol import CallProtocol

_GRACE_S = 20


class GatewayServer(uvicorn.Server):
    """uvicorn without its signal handling: it would raise the signal again and end the process before we are done."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to whoever runs the server."""
        yield


def server_of(gateway: Gateway) -> GatewayServer:
    """The server of a gateway that has started; it serves the sockets that it is given."""
    return GatewayServer(
        uvicorn.Config(
            gateway.control,
            http=CallProtocol.for_pipeline(gateway.pipeline),
            loop="none",
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            forwarded_allow_ips=gateway.settings.trusted_proxies,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=_GRACE_S,
            backlog=2048,
        )
    )
