"""The contracts of what is on sale now: made when the catalogue changes, kept until it changes again."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

import msgspec

from atomic_services.contract import Operation
from catalog.load import Catalogue
from catalog.passport import Passport
from catalog.price_list import ListedPlan, next_change_ns, price_list
from gateway.control.contracts import is_public, service_document, whole_document
from gateway.control.endpoint import Endpoint

# What everybody reads knows no payer: a scheduled price is shown as begun when its day begins in UTC.
CALENDAR = "UTC"


class Contract(msgspec.Struct, frozen=True):
    """One document: as a value for pages, as bytes for readers, with the tag that changes when it does."""

    document: dict[str, Any]
    body: bytes
    etag: str


class Contracts:
    """The documents of one catalogue at one moment: `whole`, by service those of the public ones, and by service the
    `prices` that they list."""

    def __init__(
        self,
        catalogue: Catalogue,
        operations: Mapping[str, Operation],
        endpoints: Iterable[Endpoint],
        now_ns: int,
    ) -> None:
        # While versions change, the registry may know a service that this worker has no code for yet.
        passports = [
            passport
            for passport in catalogue.passports.values()
            if all(f"{passport.service}/{entry.id}" in operations for entry in passport.operations)
        ]
        self.prices = {
            passport.service: price_list(catalogue, passport, CALENDAR, now_ns) for passport in passports
        }

        def listed(passport: Passport) -> tuple[ListedPlan, ...]:
            return self.prices[passport.service]

        self.whole = _contract(whole_document(passports, operations, endpoints, listed))
        self.services = {
            passport.service: _contract(service_document(passport, operations, listed))
            for passport in passports
            if is_public(passport)
        }


class PublishedContracts:
    """Hands out the contracts of a catalogue. They are made when the directory replaces its catalogue, which it does as a
    whole when anything on sale changes, and when a scheduled price begins."""

    def __init__(self, operations: Mapping[str, Operation], endpoints: Iterable[Endpoint]) -> None:
        self._operations = operations
        self._endpoints = tuple(endpoints)
        self._made: tuple[Catalogue, int | None, Contracts] | None = None

    def of(self, catalogue: Catalogue, now_ns: int) -> Contracts:
        """The contracts of this very catalogue at a moment; the same object as long as they are the same."""
        if self._made is not None:
            known, until_ns, contracts = self._made
            if known is catalogue and (until_ns is None or now_ns < until_ns):
                return contracts
        contracts = Contracts(catalogue, self._operations, self._endpoints, now_ns)
        self._made = catalogue, next_change_ns(catalogue, CALENDAR, now_ns), contracts
        return contracts


def _contract(document: dict[str, Any]) -> Contract:
    body = msgspec.json.encode(document)
    return Contract(document, body, f'"{sha256(body).hexdigest()[:32]}"')
