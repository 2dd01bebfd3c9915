"""`ordergate rate`."""

import sys

import click

from billing.rate.cases import answer_lines


@click.command()
def rate() -> None:
    """Price cases: JSON lines on stdin, an answer with amount and lines for each on stdout."""
    for line in answer_lines(sys.stdin):
        click.echo(line)
