"""/healthz, /readyz and /metrics."""

import hmac
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from catalog.vocabulary.problem import Problem
from gateway.control.context import ControlContext

# A directory that has not been refreshed for this long means that PostgreSQL cannot be reached.
_FRESH_S = 5.0


@get("/healthz", include_in_schema=False, sync_to_thread=False)
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@get("/readyz", include_in_schema=False, sync_to_thread=False)
def readyz(context: NamedDependency[ControlContext]) -> Response[dict[str, str]]:
    """Whether calls can be recorded and credentials checked: 200, or 503 with what is missing."""
    checks = {
        "journal": context.journal.failure or "ok",
        "database": "ok" if context.directory.age_s < _FRESH_S else "not reached",
    }
    # Calls without an effect go on while PostgreSQL is away, as long as keys may be trusted.
    ready = context.journal.healthy and context.directory.is_trusted
    return Response(checks, status_code=200 if ready else 503)


@get("/metrics", include_in_schema=False, sync_to_thread=False)
def metrics(request: Request[Any, Any, Any], context: NamedDependency[ControlContext]) -> Response[bytes]:
    """Prometheus' text format over all workers; for loopback or a bearer of the operator's token."""
    if not _may_read(request, context.metrics_token):
        raise Problem("forbidden", "Metrics are for loopback or a bearer of ORDERGATE_METRICS_TOKEN.")
    registry = context.metrics_registry
    if context.metrics_dir is not None:
        registry = collected(context.metrics_dir)
    # Litestar adds the charset to a media type; Prometheus' own has it already.
    headers = {"content-type": CONTENT_TYPE_LATEST}
    return Response(generate_latest(registry), headers=headers)


def collected(folder: Path) -> CollectorRegistry:
    """The figures that all processes keep in a folder. What a worker that has ended said of itself is forgotten: the
    supervisor starts another one in its place."""
    for file in folder.glob("gauge_live*_*.db"):
        process_id = int(file.stem.rpartition("_")[2])
        if not Path(f"/proc/{process_id}").exists():
            mark_process_dead(process_id, str(folder))  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    return registry


def _may_read(request: Request[Any, Any, Any], token: str | None) -> bool:
    if token is not None:
        presented = request.headers.get("authorization", "")
        return hmac.compare_digest(presented.encode(), f"Bearer {token}".encode())
    return request.client is not None and _is_loopback(request.client.host)


def _is_loopback(host: str) -> bool:
    """Whether an address is this machine's own. A proxy may write anything into `X-Forwarded-For`, `unknown` for one."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
