"""`ordergate services`."""

from decimal import Decimal

import click
import msgspec

from catalog.load import Catalogue
from catalog.registry.lifecycle import state_of
from catalog.registry.published import catalogue
from deploy.cli.output import json_option, print_json, print_table
from deploy.cli.session import session


class ServiceEntry(msgspec.Struct, frozen=True):
    """A service in the catalogue's list."""

    service: str
    version: str
    state: str
    visibility: str
    name: dict[str, str]
    operations: tuple["OperationEntry", ...]


class PriceNow(msgspec.Struct, frozen=True):
    """What one unit costs under a plan now, at its first tier: `0.055 CNY`, `; estimate` where the period decides."""

    plan: str
    price_version: str
    charge: str


class OperationEntry(msgspec.Struct, frozen=True):
    """An operation and what it costs."""

    operation: str
    path: str
    summary: dict[str, str]
    prices: tuple[PriceNow, ...]


@click.command()
@click.argument("service", required=False)
@json_option
def services(service: str | None, as_json: bool) -> None:
    """The catalogue; with SERVICE its operations and what they cost."""
    current = session()
    on_sale = current.read(catalogue)
    entries = [
        entry for entry in _entries(on_sale, current.clock.now_ns()) if service in (None, entry.service)
    ]
    if service is not None and not entries:
        raise click.ClickException(
            f"No service {service!r} is published; `ordergate services` lists those that are."
        )
    if as_json:
        print_json(entries)
    elif service is None:
        print_table(
            ("service", "version", "state", "visibility", "operations", "name"),
            [
                (
                    one.service,
                    one.version,
                    one.state,
                    one.visibility,
                    ", ".join(operation.operation.partition("/")[2] for operation in one.operations),
                    one.name["en"],
                )
                for one in entries
            ],
        )
    else:
        print_table(
            ("operation", "path", "plan", "charge of one unit", "summary"),
            [
                (operation.operation, operation.path, price.plan, price.charge, operation.summary["en"])
                for one in entries
                for operation in one.operations
                for price in operation.prices
            ],
        )


def _entries(on_sale: Catalogue, now_ns: int) -> list[ServiceEntry]:
    return [
        ServiceEntry(
            passport.service,
            passport.version,
            state_of(passport),
            passport.visibility,
            msgspec.to_builtins(passport.name),
            tuple(
                OperationEntry(
                    operation.id,
                    operation.path,
                    msgspec.to_builtins(operation.entry.summary),
                    tuple(
                        PriceNow(plan, price.id, price.charge(Decimal(1)))
                        for (plan, currency) in sorted(operation.prices)
                        if (price := operation.price_at(plan, currency, "UTC", now_ns)) is not None
                    ),
                )
                for operation in on_sale.operations.values()
                if operation.service == passport.service
            ),
        )
        for passport in on_sale.passports.values()
    ]
