"""A bar over the cases of a suite, on a terminal only."""

import sys
from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Case = TypeVar("Case")


def shown(suite: str, cases: Sequence[Case]) -> Iterable[Case]:
    """The same cases, one after the other, while a bar goes along."""
    return track(cases, suite, console=Console(stderr=True), disable=not sys.stderr.isatty())
