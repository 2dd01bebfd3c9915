"""Address validation and normalisation: any country, Chinese divisions in depth."""

from atomic_services.address import divisions, reference
from atomic_services.address.run import normalise, validate
from atomic_services.address.schema import NormaliseReply, NormaliseRequest, ValidateReply, ValidateRequest
from atomic_services.contract import AtomicService, Operation


def prepare() -> None:
    """Build the indexes of every country: about 0.3 s and 8 MiB, once a process."""
    divisions.divisions()
    for country in reference.countries():
        reference.rules_of(country)


SERVICE = AtomicService(
    name="address",
    operations={
        "validate": Operation(ValidateRequest, ValidateReply, validate),
        "normalise": Operation(NormaliseRequest, NormaliseReply, normalise),
    },
    prepare=prepare,
)
