"""The contracts of what is on sale now: made when the catalogue changes, kept until it changes again."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

import msgspec

from atomic_services.contract import Operation
from catalog.load import Catalogue
from gateway.control.contracts import is_public, service_document, whole_document
from gateway.control.endpoint import Endpoint


class Contract(msgspec.Struct, frozen=True):
    """One document: as a value for pages, as bytes for readers, with the tag that changes when it does."""

    document: dict[str, Any]
    body: bytes
    etag: str


class Contracts:
    """The documents of one catalogue: `whole`, and by `service` those of the public ones."""

    def __init__(
        self, catalogue: Catalogue, operations: Mapping[str, Operation], endpoints: Iterable[Endpoint]
    ) -> None:
        # While versions change, the registry may know a service that this worker has no code for yet.
        passports = [
            passport
            for passport in catalogue.passports.values()
            if all(f"{passport.service}/{entry.id}" in operations for entry in passport.operations)
        ]
        self.whole = _contract(whole_document(passports, operations, endpoints))
        self.services = {
            passport.service: _contract(service_document(passport, operations))
            for passport in passports
            if is_public(passport)
        }


class PublishedContracts:
    """Hands out the contracts of a catalogue. The directory replaces its catalogue as a whole when anything on sale changes."""

    def __init__(self, operations: Mapping[str, Operation], endpoints: Iterable[Endpoint]) -> None:
        self._operations = operations
        self._endpoints = tuple(endpoints)
        self._made: tuple[Catalogue, Contracts] | None = None

    def of(self, catalogue: Catalogue) -> Contracts:
        """The contracts of this very catalogue."""
        if self._made is None or self._made[0] is not catalogue:
            self._made = catalogue, Contracts(catalogue, self._operations, self._endpoints)
        return self._made[1]


def _contract(document: dict[str, Any]) -> Contract:
    body = msgspec.json.encode(document)
    return Contract(document, body, f'"{sha256(body).hexdigest()[:32]}"')
