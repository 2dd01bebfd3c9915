"""`ordergate up`."""

import sys

import click

from deploy.cli.session import session
from deploy.connections import WORKERS
from deploy.listening import listening_address


@click.command()
@click.option(
    "--host",
    help="IPv4 address of this machine to serve; 0.0.0.0 for all of them. By default ORDERGATE_HOST, or 127.0.0.1.",
)
@click.option(
    "--port", type=click.IntRange(1, 65_535), default=8080, show_default=True, help="Where to serve."
)
@click.option(
    "--workers", type=click.IntRange(1, 64), default=WORKERS, show_default=True, help="Gateway processes."
)
@click.option(
    "--no-demo",
    is_flag=True,
    help="Open no demo group on a first start, such as in a database of your own; so does ORDERGATE_DEMO=off.",
)
def up(host: str | None, port: int, workers: int, no_demo: bool) -> None:
    """Start everything and serve until Ctrl-C."""
    from deploy.up import StartRefused, Supervisor

    settings = session().settings
    address = settings.host if host is None else listening_address("--host", host)
    try:
        demo = settings.demo and not no_demo
        sys.exit(Supervisor(settings.home, address, port, workers, settings.database_url, demo=demo).run())
    except StartRefused as refused:
        raise click.ClickException(str(refused)) from refused
