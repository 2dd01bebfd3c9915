"""Address validation and normalisation: any country, Chinese divisions in depth."""

from atomic_services.address import (
    chinese_postal,
    divisions,
    forms,
    mentions,
    name_index,
    origins,
    reference,
    streets,
)
from atomic_services.address.formatting import write
from atomic_services.address.parsing import parse
from atomic_services.address.run import normalise, validate
from atomic_services.address.schema import (
    FormatReply,
    FormatRequest,
    NormaliseReply,
    NormaliseRequest,
    ParseReply,
    ParseRequest,
    SuggestReply,
    SuggestRequest,
    ValidateReply,
    ValidateRequest,
)
from atomic_services.address.suggesting import suggest
from atomic_services.contract import AtomicService, Operation


def prepare() -> None:
    """Build the indexes of every country: about 0.5 s and 20 MiB, once a process."""
    divisions.divisions()
    chinese_postal.cities_by_area()
    for country in reference.countries():
        reference.rules_of(country)
    for country in forms.form_countries():
        forms.form_of(country)
    name_index.everywhere()
    mentions.prepare()
    origins.prepare()
    streets.prepare()


SERVICE = AtomicService(
    name="address",
    operations={
        "validate": Operation(ValidateRequest, ValidateReply, validate),
        "normalise": Operation(NormaliseRequest, NormaliseReply, normalise),
        "parse": Operation(ParseRequest, ParseReply, parse),
        "format": Operation(FormatRequest, FormatReply, write),
        "suggest": Operation(SuggestRequest, SuggestReply, suggest),
    },
    prepare=prepare,
)
