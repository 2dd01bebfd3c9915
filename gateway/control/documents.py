"""/openapi.json and /openapi/{service}.json."""

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from catalog.vocabulary.problem import Problem
from gateway.control.asking import ControlRequest
from gateway.control.context import ControlContext
from gateway.control.published import Contract, PublishedContracts

_SUFFIX = ".json"


@get("/openapi.json", name="openapi", sync_to_thread=False)
def openapi(
    request: ControlRequest,
    context: NamedDependency[ControlContext],
    contracts: NamedDependency[PublishedContracts],
) -> Response[bytes]:
    """All public services and the control plane."""
    return _reply(request, contracts.of(context.directory.current().catalogue, context.clock.now_ns()).whole)


@get("/openapi/{file_name:str}", name="service_openapi", sync_to_thread=False)
def service_openapi(
    request: ControlRequest,
    context: NamedDependency[ControlContext],
    contracts: NamedDependency[PublishedContracts],
    file_name: FromPath[str],
) -> Response[bytes]:
    """One public service."""
    service = file_name.removesuffix(_SUFFIX)
    contract = contracts.of(context.directory.current().catalogue, context.clock.now_ns()).services.get(
        service
    )
    if contract is None or service == file_name:
        raise Problem("not-found", "No public service has this contract; /openapi.json has them all.")
    return _reply(request, contract)


def _reply(request: ControlRequest, contract: Contract) -> Response[bytes]:
    headers = {"etag": contract.etag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == contract.etag:
        return Response(b"", status_code=304, media_type="application/json", headers=headers)
    return Response(contract.body, media_type="application/json", headers=headers)


HANDLERS = (openapi, service_openapi)
