"""The least that a service can do, so that a measurement shows the gateway and not the service."""

from atomic_services.bench.schema import EchoReply, EchoRequest
from atomic_services.contract import AtomicService, CallContext, Operation


async def echo(request: EchoRequest, context: CallContext) -> EchoReply:  # noqa: ARG001 - the contract of an operation
    """Answer what the upstream of the gateways that we are compared with answers."""
    return EchoReply(valid=True, normalized=request.postal_code)


SERVICE = AtomicService(name="bench", operations={"echo": Operation(EchoRequest, EchoReply, echo)})
