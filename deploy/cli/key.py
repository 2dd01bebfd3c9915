"""`ordergate key …`: credentials."""

from datetime import datetime

import click
import msgspec

from catalog.accounts.account import Account, find_account
from catalog.accounts.application import (
    DEFAULT_APPLICATION,
    Application,
    find_application,
    list_applications,
)
from catalog.transaction import Transaction
from catalog.vocabulary.ids import ENVIRONMENTS, Environment
from catalog.vocabulary.problem import Problem
from deploy.cli.output import json_option, on_clock_of, print_json, print_table
from deploy.cli.session import By, session
from deploy.peppers import require_peppers
from gateway.stores.keys import ALL_SCOPES, KeyEntry, create_key, list_keys, revoke_key
from gateway.stores.peppers import load_peppers


class KeyView(msgspec.Struct, frozen=True):
    """A key without its secret, under the id by which commands and the API know it."""

    id: str
    account_id: str
    application_id: str
    environment: Environment
    scopes: tuple[str, ...]
    label: str
    created_at: datetime
    revoked_at: datetime | None


class NewKey(msgspec.Struct, frozen=True):
    """A key with its secret, as it is shown once."""

    key: str
    entry: KeyView


@click.group()
def key() -> None:
    """Credentials of an account's applications."""


@key.command()
@click.argument("account")
@click.option("--env", "environment", type=click.Choice(ENVIRONMENTS), default="live", show_default=True)
@click.option("--application", help="Name or id; the only one by default, or `default` where there are more.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    help="An operation (stock/reserve), a service (stock/*), usage/report, or * for everything, the default.",
)
@click.option("--label", default="", help="What the key is for.")
@json_option
def create(
    account: str,
    environment: Environment,
    application: str | None,
    scopes: tuple[str, ...],
    label: str,
    as_json: bool,
) -> None:
    """Make a key for ACCOUNT (name or id). The key is printed once and cannot be shown again."""
    current = session()

    async def work(transaction: Transaction, by: By) -> NewKey:
        owner = await find_account(transaction, account)
        program = await _application(transaction, owner, application)
        await require_peppers(transaction, current.settings.home_path)
        entry, secret = await create_key(
            transaction,
            owner,
            program,
            environment,
            scopes or ALL_SCOPES,
            load_peppers(current.settings.home_path),
            actor=by.actor,
            now=by.now,
            label=label,
        )
        return NewKey(secret, _view(entry))

    made = current.act(work)
    if as_json:
        print_json(made)
        return
    # The key alone on stdout, so that a script can keep it without cutting it out of a sentence.
    click.echo(made.key)
    click.echo(f"Keep it now: it cannot be shown again. Its id is {made.entry.id}.", err=True)


async def _application(transaction: Transaction, owner: Account, named: str | None) -> Application:
    """The one that was named; else the only one, or the one that an account is opened with."""
    if named is not None:
        try:
            return await find_application(transaction, owner, named)
        except Problem as unknown:
            remedy = f"Make it with `ordergate application create {owner.name} {named}`."
            raise Problem(unknown.type.name, f"{unknown.detail} {remedy}") from unknown
    applications = await list_applications(transaction, owner)
    for one in applications:
        if len(applications) == 1 or one.name == DEFAULT_APPLICATION:
            return one
    names = ", ".join(one.name for one in applications)
    raise click.ClickException(
        f"{owner.name} has several applications; name one with --application: {names}."
    )


@key.command()
@click.argument("key_id", metavar="ID")
def revoke(key_id: str) -> None:
    """Revoke a key for ever. ID is its id, with or without og_live_, or the key itself; it is refused within a second."""

    async def work(transaction: Transaction, by: By) -> KeyEntry:
        return await revoke_key(transaction, key_id, actor=by.actor, now=by.now)

    entry = session().act(work)
    click.echo(f"{entry.shown} is revoked.")


@key.command(name="list")
@click.argument("account")
@json_option
def list_(account: str, as_json: bool) -> None:
    """The keys of ACCOUNT (name or id), without their secrets."""

    async def work(transaction: Transaction) -> tuple[str, tuple[KeyEntry, ...]]:
        owner = await find_account(transaction, account)
        return owner.timezone, await list_keys(transaction, owner)

    zone, keys = session().read(work)
    if as_json:
        print_json([_view(one) for one in keys])
        return
    print_table(
        ("id", "application", "scopes", "label", "made", "revoked"),
        [
            (
                one.shown,
                one.application_id,
                ", ".join(one.scopes),
                one.label,
                on_clock_of(zone, one.created_at),
                on_clock_of(zone, one.revoked_at),
            )
            for one in keys
        ],
    )


def _view(entry: KeyEntry) -> KeyView:
    return KeyView(
        entry.shown,
        entry.account_id,
        entry.application_id,
        entry.environment,
        entry.scopes,
        entry.label,
        entry.created_at,
        entry.revoked_at,
    )
