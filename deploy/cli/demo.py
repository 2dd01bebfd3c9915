"""`ordergate demo remove`."""

import asyncio

import click

from deploy.cli.output import working
from deploy.cli.session import session
from deploy.demo.books import BooksNotKept
from deploy.demo.remove import StillServed, remove_demo
from deploy.installation import open_database
from deploy.operator import local_operator


@click.group()
def demo() -> None:
    """The demo group that a first start shows."""


@demo.command()
def remove() -> None:
    """Remove the demo group with all its history, for good. Stop the product first.

    An account whose key was really used keeps these calls, so that the books go on agreeing, and is closed.
    """
    current = session()
    settings = current.settings
    try:
        with (
            working("removing the demo group"),
            open_database(settings.home, settings.database_url) as database,
        ):
            settings.home.make()
            removal = asyncio.run(remove_demo(settings.home, database, local_operator(), current.clock))
    except (StillServed, BooksNotKept) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{removal.removed} demo accounts are removed.")
    for name in removal.kept:
        click.echo(f"{name} is closed and stays: its key was used, and these calls are in the books.")
