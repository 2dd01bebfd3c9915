"""`ordergate user …`: people and how they sign in."""

import click
import msgspec

from catalog.accounts.account import find_account
from catalog.accounts.role import ROLES, Role
from catalog.accounts.user import User, create_user, find_user, list_users
from catalog.transaction import Transaction
from deploy.cli.output import json_option, print_json, print_table
from deploy.cli.session import By, Session, session
from gateway.stores.sign_in import LINK_LASTS, end_sessions, make_link

_DEFAULT_ADDRESS = "http://127.0.0.1:8080"


class Invitation(msgspec.Struct, frozen=True):
    """A person with the link that they sign in with once."""

    user: User
    link: str


@click.group()
def user() -> None:
    """People: who may sign in to the portal, and with which role."""


@user.command()
@click.argument("email")
@click.option("--role", type=click.Choice(ROLES), required=True)
@click.option("--account", "accounts", multiple=True, help="Name or id; a member belongs to at least one.")
@json_option
def create(email: str, role: Role, accounts: tuple[str, ...], as_json: bool) -> None:
    """Add a person. Prints a link with which they sign in once; it is not shown again."""
    current = session()

    async def work(transaction: Transaction, by: By) -> Invitation:
        belongs_to = [await find_account(transaction, name) for name in accounts]
        made = await create_user(
            transaction, email=email, role=role, accounts=belongs_to, actor=by.actor, now=by.now
        )
        return await _invite(current, transaction, made, by)

    _show(current.act(work), as_json)


@user.command()
@click.argument("email")
@json_option
def link(email: str, as_json: bool) -> None:
    """A new link for EMAIL (or id); an earlier one that was not used stops working."""
    current = session()

    async def work(transaction: Transaction, by: By) -> Invitation:
        return await _invite(current, transaction, await find_user(transaction, email), by)

    _show(current.act(work), as_json)


async def _invite(current: Session, transaction: Transaction, person: User, by: By) -> Invitation:
    token = await make_link(transaction, person, actor=by.actor, now=by.now)
    running = current.settings.home.running()
    address = running.address if running is not None else _DEFAULT_ADDRESS
    return Invitation(person, f"{address}/sign-in/{token}")


def _show(made: Invitation, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    # The link alone on stdout, so that a script can send it without cutting it out of a sentence.
    click.echo(made.link)
    hours = LINK_LASTS.total_seconds() / 3600
    click.echo(f"For {made.user.email} ({made.user.role}): works once, within {hours:.0f} hours.", err=True)


@user.command(name="sign-out")
@click.argument("email")
def sign_out(email: str) -> None:
    """End every session of EMAIL (or id) at once, and a link that was not used."""

    async def work(transaction: Transaction, by: By) -> int:
        person = await find_user(transaction, email)
        return await end_sessions(transaction, person, actor=by.actor, now=by.now)

    click.echo(f"{email}: {session().act(work)} sessions ended.")


@user.command(name="list")
@json_option
def list_(as_json: bool) -> None:
    """Everybody who may sign in."""
    people = session().read(list_users)
    if as_json:
        print_json(people)
        return
    print_table(
        ("id", "email", "role", "accounts", "made"),
        [(one.id, one.email, one.role, ", ".join(one.account_ids), one.created_at) for one in people],
    )
