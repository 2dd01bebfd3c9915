"""Whether this home has the peppers under which the database's keys were digested.

A new ORDERGATE_HOME beside an old database would make a pepper of its own, and every key that was ever given out would
be unknown from then on, without a word. So would a file of another installation. What each pepper is recognised by is
noted in the audit log, which only grows.
"""

import hmac
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import msgspec

from catalog.registry import audit
from catalog.transaction import Transaction
from gateway.stores.peppers import load_peppers, pepper_file

_NEEDED = "SELECT pepper_version, count(*) AS keys FROM gateway.api_key WHERE revoked_at IS NULL GROUP BY 1 ORDER BY 1"
_OBJECT = "installation/peppers"
_NOTED = "SELECT detail FROM catalog.audit WHERE object = $1 ORDER BY seq DESC LIMIT 1"


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
    marks, noted = _marks(home), await _noted(transaction)
    missing = wrong = 0
    for row in await transaction.fetch(_NEEDED):
        version = str(row["pepper_version"])
        if version not in marks:
            missing += row["keys"]
        elif noted.get(version, marks[version]) != marks[version]:
            wrong += row["keys"]
    if missing:
        raise PeppersMissing(
            home,
            f"has no pepper for {missing} keys of the database: they were made with another ORDERGATE_HOME",
        )
    if wrong:
        raise PeppersMissing(
            home, f"holds another pepper than the one of {wrong} keys of the database, under the same version"
        )


async def note_peppers(transaction: Transaction, home: Path, actor: str, now: datetime) -> None:
    """Write down by what this home's peppers are recognised, once; a first start makes the first pepper.

    Call it after `require_peppers`, in a transaction: what is noted last is what later starts are held to.
    """
    load_peppers(home)
    marks = _marks(home)
    if await _noted(transaction) != marks:
        await audit.append(transaction, actor, "pepper.note", _OBJECT, marks, now)


async def _noted(transaction: Transaction) -> Mapping[str, str]:
    detail = await transaction.fetchval(_NOTED, _OBJECT)
    return {} if detail is None else msgspec.json.decode(detail, type=dict[str, str])


def _marks(home: Path) -> dict[str, str]:
    """A mark of each pepper by its version, none where there is no file: a keyed hash, from which no pepper is found."""
    if not pepper_file(home).exists():
        return {}
    try:
        peppers = load_peppers(home)
    except ValueError as error:
        raise PeppersMissing(home, f"cannot be read ({error})") from error
    return {
        str(version): hmac.digest(pepper, b"ordergate pepper", "sha256").hex()
        for version, pepper in peppers.items()
    }
