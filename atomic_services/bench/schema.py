"""What `bench/echo` takes and answers."""

from typing import Annotated

from msgspec import Meta, Struct

_Text = Annotated[str, Meta(max_length=200)]


class EchoRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """An address, as gateways are compared with it."""

    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}(?![\s\S])", description="ISO 3166-1 alpha-2 code.")]
    postal_code: _Text
    locality: _Text
    lines: Annotated[list[_Text], Meta(max_length=8)]


class EchoReply(Struct, frozen=True):
    """Always valid, with the postal code as it came."""

    valid: bool
    normalized: str
