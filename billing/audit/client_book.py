"""A client's own log of what it was answered, and how it compares with what is stored."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from uuid import UUID

import asyncpg
import msgspec

from billing.transaction import Connection
from catalog.vocabulary.ids import ENVIRONMENTS, Environment, call_id_text, parse_call_id
from catalog.vocabulary.problem import FieldError, Problem


class BookEntry(msgspec.Struct, frozen=True, rename={"class_": "class"}):
    """One line of a book: what was called and what came back.

    A metered reply shows its class or its charge. A reply without them was refused or replayed by the gateway; an
    entry without `status` was never answered and may have been metered or not.
    """

    operation: str
    call_id: str | None = None
    account: str | None = None
    status: int | None = None
    class_: str | None = None
    charge: str | None = None

    @property
    def metered(self) -> bool:
        """Whether the client holds a receipt."""
        return self.call_id is not None and (self.class_ is not None or self.charge is not None)

    @property
    def unanswered(self) -> bool:
        """Whether the client cannot know how the call ended."""
        return not self.status


class BookComparison(msgspec.Struct, frozen=True):
    """`missing` receipts are not stored (their environment is unknown); `surplus` calls by environment are stored in
    the books' time and accounts without a receipt. `differences` names each of them and every contradiction."""

    missing: int = 0
    surplus: Mapping[Environment, int] = {}
    differences: tuple[str, ...] = ()


_CREATE = (
    "CREATE TEMPORARY TABLE booked "
    "(id uuid PRIMARY KEY, operation text NOT NULL, account_id text, class text, metered boolean NOT NULL) "
    "ON COMMIT DROP"
)
_MISSING = """
    SELECT booked.id, booked.operation FROM booked LEFT JOIN billing.usage_event AS stored USING (id)
    WHERE metered AND stored.id IS NULL ORDER BY id
"""
_CONTRADICTIONS = """
    SELECT id, booked.operation, stored.operation AS stored_operation, booked.class, stored.class AS stored_class,
           booked.account_id, stored.account_id AS stored_account, metered
    FROM booked JOIN billing.usage_event AS stored USING (id)
    WHERE NOT metered OR booked.operation <> stored.operation OR booked.class <> stored.class
       OR booked.account_id <> stored.account_id ORDER BY id
"""
# The children of a composed call are stored, but their caller is not told of them.
_SURPLUS = """
    WITH receipts AS (
        SELECT id, coalesce(stored.account_id, booked.account_id) AS account_id
        FROM booked LEFT JOIN billing.usage_event AS stored USING (id) WHERE metered)
    SELECT id, operation, environment FROM billing.usage_event
    WHERE account_id IN (SELECT account_id FROM receipts)
      AND id BETWEEN (SELECT id FROM receipts ORDER BY id LIMIT 1) AND (SELECT id FROM receipts ORDER BY id DESC LIMIT 1)
      AND parent_call_id IS NULL AND NOT EXISTS (SELECT FROM booked WHERE booked.id = usage_event.id)
    ORDER BY id
"""


def read_books(paths: Iterable[Path]) -> Iterator[BookEntry]:
    """The entries of JSON-lines files; `Problem` malformed-request names the file and line that is none."""
    decoder = msgspec.json.Decoder(BookEntry)
    for path in paths:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    entry = decoder.decode(line)
                    if entry.call_id is not None:
                        parse_call_id(entry.call_id)
                except (msgspec.DecodeError, ValueError) as error:
                    found = FieldError("", "book-entry", str(error))
                    raise Problem(
                        "malformed-request", f"{path}, line {number}: {error}.", errors=(found,)
                    ) from None
                yield entry


async def compare_books(connection: Connection, entries: Iterable[BookEntry]) -> BookComparison:
    """Look every entry up among the stored calls; the caller's transaction is rolled back or ends soon after.

    A call that is stored without a receipt is accounted for by an unanswered entry of the same operation, if there
    is one left: then the unanswered call was metered with its effect.
    """
    booked: dict[UUID, BookEntry] = {}
    unanswered: Counter[str] = Counter()
    for entry in entries:
        if entry.call_id is not None and not entry.unanswered:
            call_id = parse_call_id(entry.call_id)
            # A replay repeats the first reply's id without being metered again.
            if call_id not in booked or entry.metered:
                booked[call_id] = entry
        elif entry.unanswered:
            unanswered[entry.operation] += 1
    await connection.execute(_CREATE)
    await connection.copy_records_to_table(
        "booked", records=[(key, e.operation, e.account, e.class_, e.metered) for key, e in booked.items()]
    )
    missing = [
        f"{call_id_text(row['id'])} {row['operation']}: has a receipt and is not stored"
        for row in await connection.fetch(_MISSING)
    ]
    contradictions = [
        f"{call_id_text(row['id'])} {row['operation']}: {_contradiction(row)}"
        for row in await connection.fetch(_CONTRADICTIONS)
    ]
    surplus = dict.fromkeys(ENVIRONMENTS, 0)
    unbooked = []
    for row in await connection.fetch(_SURPLUS):
        if unanswered[row["operation"]] > 0:
            unanswered[row["operation"]] -= 1
            continue
        surplus[row["environment"]] += 1
        unbooked.append(f"{call_id_text(row['id'])} {row['operation']}: is stored and has no receipt")
    return BookComparison(len(missing), surplus, (*missing, *unbooked, *contradictions))


def _contradiction(row: asyncpg.Record) -> str:
    if not row["metered"]:
        return "is stored, and the client was refused"
    said = (row["operation"], row["class"], row["account_id"])
    found = (row["stored_operation"], row["stored_class"], row["stored_account"])
    return f"the receipt says {_words(said)}, stored is {_words(found)}"


def _words(values: tuple[object, ...]) -> str:
    return " ".join(str(value) for value in values if value is not None)
