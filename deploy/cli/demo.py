"""`ordergate demo remove`."""

import asyncio
from collections.abc import Sequence

import click

from deploy.cli.output import print_table, working
from deploy.cli.session import session
from deploy.demo.books import BooksNotKept
from deploy.demo.remove import Removal, StillServed, preview, remove_demo
from deploy.demo.used import DemoAccount
from deploy.installation import open_database
from deploy.operator import local_operator


@click.group()
def demo() -> None:
    """The demo group that a first start shows."""


@demo.command()
@click.option("--yes", is_flag=True, help="Remove without asking.")
def remove(yes: bool) -> None:
    """Remove the demo group with all its history, for good. Stop the product first.

    Shows what would go and asks. An account whose key was really used keeps these calls and the usage that was reported
    with it, so that the books go on agreeing, and is closed. So is an account that somebody belongs to, or of which a
    document was contested or credited; the documents themselves go, for they are of made-up calls.
    """
    current = session()
    settings = current.settings
    try:
        with open_database(settings.home, settings.database_url) as database:
            settings.home.make()
            with working("looking at the demo group"):
                found = asyncio.run(preview(settings.home, database, current.clock))
            _show(found)
            if found and not yes:
                click.confirm("Remove all this for good?", abort=True, err=True)
            with working("removing the demo group"):
                removal = asyncio.run(remove_demo(settings.home, database, local_operator(), current.clock))
    except (StillServed, BooksNotKept) as error:
        raise click.ClickException(str(error)) from error
    _report(removal)


def _show(found: Sequence[DemoAccount]) -> None:
    """What will go, and what keeps some of it."""
    if not found:
        return
    calls = sum(one.made_up for one in found)
    click.echo(
        f"{len(found)} demo accounts with {calls:,} made-up calls, their documents and their keys will go."
    )
    used = [one for one in found if one.is_used]
    if used:
        click.echo(
            "These were really used: they stay, closed, with their real calls alone; their documents go."
        )
        figures = ("real calls", "disputes", "credit notes", "members")
        print_table(
            ("account", *figures),
            [(one.name, one.calls, one.disputes, one.credit_notes, one.members) for one in used],
            right=figures,
        )


def _report(removal: Removal) -> None:
    click.echo(f"{removal.removed} demo accounts are removed.")
    for name in removal.kept:
        click.echo(f"{name} is closed and stays: it was really used.")
    if removal.removed or removal.kept:
        click.echo("Open an account of your own with `ordergate account create NAME`.")
