"""`ordergate backup` and `ordergate restore`."""

from pathlib import Path

import click

from deploy.backup import BackupRefused, restore_backup, take_backup
from deploy.cli.output import working
from deploy.cli.session import session
from deploy.installation import open_database

_DIRECTORY = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("directory", metavar="DIR", type=_DIRECTORY)
def backup(directory: Path) -> None:
    """Write all that is needed to stand up again. Database, journals and secrets, into DIR; calls go on meanwhile."""
    current = session()
    settings = current.settings
    try:
        with working("backing up"), open_database(settings.home, settings.database_url) as database:
            manifest = take_backup(settings.home, database, directory, current.now)
    except BackupRefused as refused:
        raise click.ClickException(str(refused)) from refused
    click.echo(
        f"{directory} holds {len(manifest.files)} files as of {manifest.taken_at}. Keep it safe: it holds secrets."
    )


@click.command()
@click.argument("directory", metavar="DIR", type=_DIRECTORY)
def restore(directory: Path) -> None:
    """Stand up a backup in an empty ORDERGATE_HOME. With ORDERGATE_DATABASE_URL that database is empty, too."""
    settings = session().settings
    try:
        with working("restoring"):
            manifest = restore_backup(settings.home, settings.database_url, directory)
    except BackupRefused as refused:
        raise click.ClickException(str(refused)) from refused
    click.echo(f"{settings.home_path} stands as of {manifest.taken_at}. Start it with `ordergate up`.")
