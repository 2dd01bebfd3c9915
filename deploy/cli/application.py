"""`ordergate application …` and `ordergate cost-centre …`: what calls for an account, and what it books on."""

from collections.abc import Sequence

import click

from catalog.accounts.account import find_account
from catalog.accounts.application import (
    Application,
    CostCentre,
    create_application,
    create_cost_centre,
    list_applications,
    list_cost_centres,
)
from catalog.transaction import Transaction
from catalog.vocabulary.problem import Problem
from deploy.cli.output import json_option, on_clock_of, print_json, print_table
from deploy.cli.session import By, session


@click.group()
def application() -> None:
    """The programs of an account: each has its own keys."""


@application.command("create")
@click.argument("account")
@click.argument("name")
@click.option(
    "--cost-centre", help="What its calls are booked on: an id or a name; the account itself by default."
)
@json_option
def create_program(account: str, name: str, cost_centre: str | None, as_json: bool) -> None:
    """Make an application of ACCOUNT (name or id); then make its keys with `ordergate key create`."""

    async def work(transaction: Transaction, by: By) -> Application:
        owner = await find_account(transaction, account)
        centre = None
        if cost_centre is not None:
            centre = _centre(await list_cost_centres(transaction, owner), account, cost_centre)
        return await create_application(transaction, owner, name, by.actor, by.now, cost_centre=centre)

    made = session().act(work)
    if as_json:
        print_json(made)
        return
    click.echo(f"{made.name} is made as {made.id}.")
    click.echo(f"Make a key with `ordergate key create {account} --application {made.id}`.")


@application.command("list")
@click.argument("account")
@json_option
def list_programs(account: str, as_json: bool) -> None:
    """The applications of ACCOUNT (name or id), oldest first."""

    async def work(transaction: Transaction) -> tuple[str, Sequence[Application]]:
        owner = await find_account(transaction, account)
        return owner.timezone, await list_applications(transaction, owner)

    zone, found = session().read(work)
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "name", "cost centre", "made"),
        [(one.id, one.name, one.cost_centre_id, on_clock_of(zone, one.created_at)) for one in found],
    )


@click.group("cost-centre")
def cost_centre() -> None:
    """The parts of an account that its statement shows by themselves."""


@cost_centre.command("create")
@click.argument("account")
@click.argument("name")
@json_option
def create_centre(account: str, name: str, as_json: bool) -> None:
    """Make a cost centre of ACCOUNT (name or id)."""

    async def work(transaction: Transaction, by: By) -> CostCentre:
        owner = await find_account(transaction, account)
        return await create_cost_centre(transaction, owner, name, by.actor, by.now)

    made = session().act(work)
    if as_json:
        print_json(made)
        return
    click.echo(f"{made.name} is made as {made.id}.")
    click.echo(f"Book on it with `ordergate application create {account} NAME --cost-centre {made.id}`.")


@cost_centre.command("list")
@click.argument("account")
@json_option
def list_centres(account: str, as_json: bool) -> None:
    """The cost centres of ACCOUNT (name or id), by name."""

    async def work(transaction: Transaction) -> Sequence[CostCentre]:
        return await list_cost_centres(transaction, await find_account(transaction, account))

    found = session().read(work)
    if as_json:
        print_json(found)
        return
    print_table(("id", "name"), [(one.id, one.name) for one in found])


def _centre(centres: Sequence[CostCentre], account: str, named: str) -> CostCentre:
    for one in centres:
        if named in (one.id, one.name):
            return one
    known = ", ".join(one.name for one in centres) or "none"
    raise Problem(
        "not-found",
        f"{account} has no cost centre {named!r}; its cost centres are {known}. "
        f"Make it with `ordergate cost-centre create {account} {named}`.",
    )
