"""`ordergate publish` and `ordergate services`."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import click
import msgspec

from atomic_services.registry import built_in_passport, example_errors
from catalog.load import Catalogue
from catalog.passport import BYTES_MAX, Passport, PassportRefused, read_passport
from catalog.registry.lifecycle import state_of
from catalog.registry.publish import Publication
from catalog.registry.publish import publish as publish_passport
from catalog.registry.published import catalogue
from catalog.transaction import Transaction
from deploy.cli.output import json_option, print_json, print_table
from deploy.cli.session import By, session


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
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH…"
)
@click.option(
    "--dry-run", is_flag=True, help="Check everything and say what would change, but change nothing."
)
@json_option
def publish(paths: tuple[Path, ...], dry_run: bool, as_json: bool) -> None:
    """Validate and publish passports: files, or folders with a passport.yaml each. All of them, or none."""
    passports = _read_all(paths)

    async def work(transaction: Transaction, by: By) -> list[Publication]:
        trial = transaction.transaction()
        await trial.start()
        done: list[Publication] = []
        problems: list[str] = []
        for path, passport in passports:
            try:
                built_in = built_in_passport(passport.service)
                done.append(await publish_passport(transaction, passport, built_in, by.actor, by.now))
            except PassportRefused as refused:
                problems += _lines(path, refused)
        if problems:
            raise click.ClickException("\n".join(problems))
        await (trial.rollback() if dry_run else trial.commit())
        return done

    done = session().act(work)
    if as_json:
        print_json(done)
        return
    for one in done:
        what = f"would be revision {one.revision}" if dry_run else f"is revision {one.revision}"
        prices = f", new prices {', '.join(one.new_prices)}" if one.new_prices else ""
        unchanged = f"is unchanged at revision {one.revision}"
        click.echo(f"{one.service} {one.version} {what + prices if one.changed else unchanged}")


def _read_all(paths: tuple[Path, ...]) -> list[tuple[Path, Passport]]:
    """Every passport that is named, checked by itself; a click error that lists all that is wrong with all of them."""
    passports: list[tuple[Path, Passport]] = []
    problems: list[str] = []
    for path in _files(paths):
        try:
            with path.open("rb") as file:
                passport = read_passport(file.read(BYTES_MAX + 1).decode("utf-8", "replace"))
            if errors := example_errors(passport):
                raise PassportRefused(errors)
            passports.append((path, passport))
        except PassportRefused as refused:
            problems += _lines(path, refused)
    if problems:
        raise click.ClickException("\n".join(problems))
    return passports


def _files(paths: tuple[Path, ...]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            found = sorted(path.rglob("passport.yaml"))
            if not found:
                raise click.ClickException(f"{path} has no passport.yaml; name the passport's file itself.")
            yield from found
        else:
            yield path


def _lines(path: Path, refused: PassportRefused) -> Iterator[str]:
    return (f"{path}: {error.pointer or '/'}: {error.detail} [{error.rule}]" for error in refused.errors)


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
                        if (price := operation.price_at(plan, currency, now_ns)) is not None
                    ),
                )
                for operation in on_sale.operations.values()
                if operation.service == passport.service
            ),
        )
        for passport in on_sale.passports.values()
    ]
