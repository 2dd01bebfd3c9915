"""`ordergate doctor`."""

import asyncio
import sys

import click

from deploy.cli.output import json_option, print_json
from deploy.cli.session import session
from deploy.database import Database
from deploy.doctor import Finding, examine_contents, examine_database, examine_machine
from deploy.home import Home


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """What is wrong with this installation, and what to do. Exit status 1 if anything is."""
    settings = session().settings
    findings = list(examine_machine(settings.home))
    for found in examine_database(settings.home, settings.database_url):
        if isinstance(found, Finding):
            findings.append(found)
        else:
            findings += asyncio.run(_contents(found, settings.home))
    if as_json:
        print_json(findings)
    else:
        for one in findings:
            click.echo(f"{'ok   ' if one.in_order else 'WRONG'} {one.subject}: {one.seen}")
            if not one.in_order:
                click.echo(f"      {one.remedy}")
    if not all(one.in_order for one in findings):
        sys.exit(1)


async def _contents(database: Database, home: Home) -> list[Finding]:
    return [finding async for finding in examine_contents(database, home)]
