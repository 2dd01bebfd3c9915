"""`ordergate rate`."""

import sys

import click

from billing.rate.cases import answer_lines


@click.command()
def rate() -> None:
    """Answer pricing cases on stdin. Each is a JSON line; its answer is one, too, with amount and lines."""
    for line in answer_lines(sys.stdin):
        click.echo(line)
