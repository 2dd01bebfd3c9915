"""`ordergate backup` and `ordergate restore`."""

from pathlib import Path

import click
from rich.filesize import decimal

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
    begin_ns = current.clock.monotonic_ns()
    try:
        with (
            working("backing up") as progress,
            open_database(settings.home, settings.database_url) as database,
        ):
            backup = take_backup(settings.home, database, directory, current.now, progress)
    except BackupRefused as refused:
        raise click.ClickException(str(refused)) from refused
    seconds = (current.clock.monotonic_ns() - begin_ns) / 1_000_000_000
    click.echo(
        f"{directory} holds {len(backup.manifest.files)} files as of {backup.manifest.taken_at}: "
        f"{decimal(backup.size_bytes)}, written in {seconds:.1f} s. Keep it safe: it holds secrets."
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
