"""Address validation and normalisation: any country, Chinese divisions in depth."""

from atomic_services.address.run import normalise, validate
from atomic_services.address.schema import NormaliseReply, NormaliseRequest, ValidateReply, ValidateRequest
from atomic_services.contract import AtomicService, Operation

SERVICE = AtomicService(
    name="address",
    operations={
        "validate": Operation(ValidateRequest, ValidateReply, validate),
        "normalise": Operation(NormaliseRequest, NormaliseReply, normalise),
    },
)
