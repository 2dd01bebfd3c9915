"""`python -m tests.load --url http://127.0.0.1:8080 --keys FILE --calls N --book FILE`: load with a book of its own.

The summary is one JSON object on stdout; exit status 1 if a call was left unresolved.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from tests.load.book import Book
from tests.load.plan import KINDS, Credential, Kind, plan
from tests.load.run import Load, Summary


def _mix(text: str) -> dict[Kind, float]:
    """`address=0.6,stock=0.4`."""
    weights: dict[Kind, float] = {}
    for part in text.split(","):
        name, _, weight = part.partition("=")
        kind = next((kind for kind in KINDS if kind == name), None)
        if kind is None:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(KINDS)}")
        weights[kind] = float(weight)
    return weights


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description="Load with a book of its own.")
    parser.add_argument("--url", required=True, help="the gateway, such as http://127.0.0.1:8080")
    parser.add_argument("--keys", type=Path, required=True, help='JSON lines {"account", "key"}')
    parser.add_argument(
        "--book", type=Path, required=True, help="where to keep what was answered, JSON lines"
    )
    parser.add_argument("--calls", type=int, default=1_000)
    parser.add_argument("--concurrency", type=int, default=16, help="clients that call at the same time")
    parser.add_argument("--mix", type=_mix, default="address=0.6,stock=0.4", help="weights of the services")
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same calls")
    parser.add_argument("--seconds-max", type=float, default=3_600, help="give up after so long")
    return parser.parse_args()


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], object]]:
    """Counts calls; a bar on a terminal, nothing on a pipe."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda: None
        return
    with Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task("calls", total=total)
        yield lambda: bar.advance(task)


async def _run(arguments: argparse.Namespace) -> Summary:
    target = urlsplit(arguments.url)
    lines = arguments.keys.read_bytes().splitlines()
    credentials = tuple(msgspec.json.decode(line, type=Credential) for line in lines)
    units = plan(arguments.seed, arguments.calls, arguments.mix, credentials)
    book = Book(arguments.book)
    try:
        with _progress(arguments.calls) as on_call:
            load = Load(target.hostname or "127.0.0.1", target.port or 80, book, on_call)
            return await load.run(units, arguments.concurrency, arguments.seconds_max)
    finally:
        book.close()


def main() -> int:
    """See above."""
    summary = uvloop.run(_run(_arguments()))
    sys.stdout.buffer.write(msgspec.json.encode(summary) + b"\n")
    return 1 if summary.unresolved else 0


if __name__ == "__main__":
    sys.exit(main())
