"""Whether this home has the peppers under which the database's keys were digested.

A new ORDERGATE_HOME beside an old database would make a pepper of its own, and every key that was ever given out would
be unknown from then on, without a word.
"""

from collections.abc import Set
from pathlib import Path

from catalog.transaction import Transaction
from gateway.stores.peppers import load_peppers, pepper_file

_NEEDED = "SELECT pepper_version, count(*) AS keys FROM gateway.api_key WHERE revoked_at IS NULL GROUP BY 1 ORDER BY 1"


class PeppersMissing(Exception):
    """There are keys that nobody could present here; the message says what to do."""

    def __init__(self, home: Path, seen: str) -> None:
        """`seen` is what is wrong with the file, as the end of a sentence that begins with its name."""
        super().__init__(
            f"{pepper_file(home)} {seen}. Set ORDERGATE_HOME to the folder in which the keys were made, or put its "
            "secrets/pepper.json (every backup has it) in place of this one: without it none of them is known."
        )


async def require_peppers(transaction: Transaction, home: Path) -> None:
    """Make nothing and change nothing; `PeppersMissing` unless every key that is not revoked can be known.

    `transaction` sees all accounts.
    """
    known = _known(home)
    missing = sum(
        row["keys"] for row in await transaction.fetch(_NEEDED) if row["pepper_version"] not in known
    )
    if missing:
        raise PeppersMissing(
            home,
            f"has no pepper for {missing} keys of the database: they were made with another ORDERGATE_HOME",
        )


def _known(home: Path) -> Set[int]:
    if not pepper_file(home).exists():
        return frozenset()
    try:
        return load_peppers(home).keys()
    except ValueError as error:
        raise PeppersMissing(home, f"cannot be read ({error})") from error
