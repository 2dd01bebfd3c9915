"""The services of this installation: the only place that imports them, and where passports meet the code."""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module, resources
from types import MappingProxyType

import msgspec
import zen

from atomic_services.address import SERVICE as ADDRESS
from atomic_services.bench.run import SERVICE as BENCH
from atomic_services.contract import AtomicService, Operation
from atomic_services.stock.run import SERVICE as STOCK
from catalog.load import Catalogue
from catalog.meter import pointer_exists
from catalog.passport import OperationEntry, Passport, SchemaReference, read_passport
from catalog.vocabulary.problem import FieldError, Problem
from catalog.vocabulary.strict_json import convert

SERVICES: Mapping[str, AtomicService] = MappingProxyType(
    {service.name: service for service in (ADDRESS, STOCK, BENCH)}
)


class CatalogueMismatchError(Exception):
    """The published passports do not describe the code that would answer; `errors` says where and what to do."""

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        """At least one error; each pointer begins with the service."""
        super().__init__("; ".join(f"{error.pointer}: {error.detail}" for error in errors))
        self.errors = errors


@cache
def operations() -> Mapping[str, Operation]:
    """Every operation of the code, by its full id: `address/validate`."""
    return MappingProxyType(
        {
            f"{service.name}/{name}": operation
            for service in SERVICES.values()
            for name, operation in service.operations.items()
        }
    )


@cache
def built_in_passports() -> tuple[Passport, ...]:
    """The passport file of each service; `PassportRefused` for one that breaks a rule."""
    return tuple(
        read_passport(resources.files(_package(name)).joinpath("passport.yaml").read_text("utf-8"))
        for name in SERVICES
    )


def built_in_passport(service: str) -> Passport | None:
    """The passport that the code of a service came with; None if there is no such code."""
    return next((passport for passport in built_in_passports() if passport.service == service), None)


def check(catalogue: Catalogue) -> None:
    """What is on sale is exactly what the code does, or `CatalogueMismatchError`: at start-up, before the first call."""
    errors = [error for passport in catalogue.passports.values() for error in _departures(passport)]
    errors += [
        FieldError(f"/{name}", "unpublished", "the code has this service, but no passport publishes it")
        for name in SERVICES
        if name not in catalogue.passports
    ]
    if errors:
        raise CatalogueMismatchError(tuple(errors))


def example_errors(passport: Passport) -> tuple[FieldError, ...]:
    """Examples whose request the code would refuse: looked for at publication, since examples are terms."""
    service = SERVICES.get(passport.service)
    found = []
    for index, entry in enumerate(passport.operations):
        operation = service.operations.get(entry.id) if service else None
        for place, example in enumerate(entry.examples if operation else ()):
            assert operation is not None
            try:
                convert(example.request, operation.request)
            except Problem as problem:
                pointer = f"/operations/{index}/examples/{place}/request{problem.errors[0].pointer}"
                found.append(FieldError(pointer, "example", problem.errors[0].detail))
    return tuple(found)


def _departures(passport: Passport) -> Iterator[FieldError]:
    """Where a passport says something else than the code. A retired service may have lost its code."""
    if not passport.callable:
        return
    at = f"/{passport.service}"
    service = SERVICES.get(passport.service)
    if service is None:
        yield FieldError(at, "no-code", "no code answers for this service; retire it")
        return
    for name in service.operations:
        if passport.operation(name) is None:
            yield FieldError(
                f"{at}/operations", "unpublished", f"the code has an operation {name!r}; publish it"
            )
    for index, entry in enumerate(passport.operations):
        place = f"{at}/operations/{index}"
        operation = service.operations.get(entry.id)
        if operation is None:
            yield FieldError(f"{place}/id", "no-code", f"no code answers for {entry.id!r}; remove it")
        else:
            yield from _entry_departures(passport.service, entry, operation, place)


def _entry_departures(
    service: str, entry: OperationEntry, operation: Operation, at: str
) -> Iterator[FieldError]:
    for name, reference, type_ in (
        ("request", entry.request, operation.request),
        ("reply", entry.reply, operation.reply),
    ):
        if _resolve(service, reference) is not type_:
            yield FieldError(
                f"{at}/{name}/schema", "reference", f"the code's type is schema.py:{type_.__name__}"
            )
    if zen.validate_expression(entry.success_when) is not None:
        yield FieldError(f"{at}/success_when", "expression", "write an expression such as status == 200")
    meter = entry.meter
    if meter.items is not None and not pointer_exists(operation.request, meter.items):
        yield FieldError(f"{at}/meter/items", "reference", "point at a list of the request")
    if meter.value is not None and not pointer_exists(operation.reply, meter.value.removeprefix("/reply")):
        yield FieldError(f"{at}/meter/value", "reference", "point at a number of the reply")
    for name, pointer in meter.dimension_pointers.items():
        in_reply = meter.in_reply(name)
        if not pointer_exists(
            operation.reply if in_reply else operation.request,
            pointer.removeprefix("/reply") if in_reply else pointer,
        ):
            yield FieldError(
                f"{at}/meter/dimensions/{name}", "reference", "point at a field of request or reply"
            )
    for place, field in enumerate(entry.personal_data):
        if not pointer_exists(operation.request, f"/{field}"):
            yield FieldError(f"{at}/personal_data/{place}", "reference", "name a field of the request")


def _resolve(service: str, reference: SchemaReference) -> type[msgspec.Struct] | None:
    name = reference.schema.removeprefix("schema.py:")
    found: type[msgspec.Struct] | None = getattr(import_module(f"{_package(service)}.schema"), name, None)
    return found


def _package(service: str) -> str:
    return f"atomic_services.{service.replace('-', '_')}"
