"""`ordergate publish`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from atomic_services.registry import built_in_passport, example_errors
from catalog.passport import Passport, PassportRefused
from catalog.registry.price_changes import PriceChange, price_changes, sentence
from catalog.registry.publish import Publication
from catalog.registry.publish import publish as publish_passport
from catalog.registry.published import price_versions
from catalog.registry.review import Submission, submit
from catalog.transaction import Transaction
from deploy.cli.output import json_option, print_json
from deploy.cli.passport_file import read_passport_file, refusal_lines
from deploy.cli.session import By, session

# A publication, a submission for review, or None where the registry has just that already and nothing was submitted.
_Result = Publication | Submission | None


class _Done(msgspec.Struct, frozen=True):
    """What became of a passport, and what that changes of its prices."""

    passport: Passport
    result: _Result
    prices: tuple[PriceChange, ...]


@click.command()
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH…"
)
@click.option(
    "--dry-run", is_flag=True, help="Check everything and say what would change, but change nothing."
)
@json_option
def publish(paths: tuple[Path, ...], dry_run: bool, as_json: bool) -> None:
    """Validate and publish passports. All that are named, or none.

    PATH is a passport's file, or a folder with a passport.yaml in it or below. With ORDERGATE_REVIEW=required they are submitted for review: see `ordergate review`.
    """
    passports = _read_all(paths)
    current = session()
    one_by_one = submit if current.settings.review_required else publish_passport

    async def work(transaction: Transaction, by: By) -> list[_Done]:
        trial = transaction.transaction()
        await trial.start()
        done: list[_Done] = []
        problems: list[str] = []
        for path, passport in passports:
            try:
                built_in = built_in_passport(passport.service)
                result = await one_by_one(transaction, passport, built_in, by.actor, by.now)
                done.append(_Done(passport, result, await changed_prices(transaction, result)))
            except PassportRefused as refused:
                problems += refusal_lines(path, refused)
        if problems:
            raise click.ClickException("\n".join(problems))
        await (trial.rollback() if dry_run else trial.commit())
        return done

    done = current.act(work)
    if as_json:
        print_json([_document(one) for one in done if one.result is not None])
        return
    for one in done:
        click.echo(_sentence(one.passport, one.result, dry_run))
        for change in one.prices:
            click.echo(f"  {sentence(change)}")


async def changed_prices(transaction: Transaction, result: _Result) -> tuple[PriceChange, ...]:
    """What a publication changed of the prices; nothing where it waits for review."""
    if not isinstance(result, Publication) or not result.new_prices:
        return ()
    versions = await price_versions(transaction)
    return price_changes(versions, [one for one in versions if one.id in result.new_prices])


def _document(done: _Done) -> dict[str, Any]:
    assert done.result is not None, "only what was written is listed"
    return {**msgspec.structs.asdict(done.result), "price_changes": done.prices}


def _sentence(passport: Passport, result: _Result, dry_run: bool) -> str:
    what = f"{passport.service} {passport.version}"
    match result:
        case None:
            return f"{what} is on sale just so already; nothing was submitted"
        case Submission() if dry_run:
            return f"{what} would be submitted for review"
        case Submission():
            return f"{what} waits for review as {result.id}; `ordergate review approve {result.id}` by somebody else publishes it"
        case Publication() if not result.changed:
            return f"{what} is unchanged at revision {result.revision}"
        case Publication():
            prices = f", new prices {', '.join(result.new_prices)}" if result.new_prices else ""
            return f"{what} {'would be' if dry_run else 'is'} revision {result.revision}{prices}"


def _read_all(paths: tuple[Path, ...]) -> list[tuple[Path, Passport]]:
    """Every passport that is named, checked by itself; a click error that lists all that is wrong with all of them."""
    passports: list[tuple[Path, Passport]] = []
    problems: list[str] = []
    for path in _files(paths):
        try:
            passport = read_passport_file(path)
            if errors := example_errors(passport):
                raise PassportRefused(errors)
            passports.append((path, passport))
        except PassportRefused as refused:
            problems += refusal_lines(path, refused)
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
