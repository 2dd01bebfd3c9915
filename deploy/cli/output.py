"""What commands print: JSON for programs, tables for people, progress on a terminal only."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from catalog.vocabulary.clock import local_time
from catalog.vocabulary.money import encode_decimal

# Wide enough that a pipe never gets a wrapped or shortened cell.
_PIPE_WIDTH = 10_000


def json_option(command: Any) -> Any:
    """The option `--json` of every reading command."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)


def print_json(value: Any) -> None:
    """One indented JSON document; decimals as strings, moments in UTC."""
    text = msgspec.json.format(msgspec.json.encode(value, enc_hook=encode_decimal), indent=2)
    click.echo(text.decode())


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()
) -> None:
    """A table; columns named in `right` hold figures. Cells are plain text, never markup."""
    terminal = sys.stdout.isatty()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=not terminal)
    for row in rows:
        table.add_row(*(Text(cell_text(cell)) for cell in row))
    console = Console(file=sys.stdout, highlight=False, width=None if terminal else _PIPE_WIDTH)
    with console.capture() as capture:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


def cell_text(value: object) -> str:
    """A cell as text: moments to the second with the offset of their zone (`Z`: UTC), nothing for None."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return local_time(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def on_clock_of(timezone: str, moment: datetime | None) -> datetime | None:
    """A moment as an account's own clock shows it; None stays None."""
    return None if moment is None else moment.astimezone(ZoneInfo(timezone))


class Progressing:
    """What is told of work that goes on: what it waits for, and how far it is. Nobody hears it without a terminal."""

    def __init__(self, bar: Progress | None, what: str) -> None:
        """`bar` is running."""
        self._bar = bar
        self._what = what
        self._task = None if bar is None else bar.add_task(what, total=None)

    def __call__(self, detail: str) -> None:
        """Show a detail beside what is done."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=f"{self._what} ({detail})")

    def count(self, done: int, total: int) -> None:
        """Show how many are done, and of how many."""
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task, completed=done, total=total, description=f"{self._what} ({done:,}/{total:,})"
            )


@contextmanager
def working(what: str) -> Iterator[Progressing]:
    """A moving bar beside `what` on a terminal, nothing elsewhere. What is yielded tells what is waited for."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Progressing(None, what)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield Progressing(progress, what)
