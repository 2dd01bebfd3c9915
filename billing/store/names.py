"""The names of reported events: what an account's source has called by one id is remembered for ever."""

from collections.abc import Collection, Iterable, Mapping
from typing import TypeAlias
from uuid import UUID

import msgspec

from billing.transaction import Connection
from catalog.vocabulary.ids import Environment

Name: TypeAlias = tuple[str, str]
"""A source, and the id that it gave."""


class Seen(msgspec.Struct, frozen=True):
    """What stands under a name: `content_hash` of what was said, `event_id` of the usage row that it is, or corrects."""

    content_hash: bytes
    event_id: UUID


async def take_names(
    connection: Connection, account_id: str, environment: Environment, wanted: Mapping[Name, Seen]
) -> set[Name]:
    """Remember those that nobody had; which ones they are. Two transactions with the same names wait for each other; the
    names are taken in one order, so they never deadlock."""
    names = sorted(wanted)
    rows = await connection.fetch(
        """
        INSERT INTO billing.seen (account_id, environment, source, id, content_hash, event_id)
        SELECT $1, $2, * FROM unnest($3::text[], $4::text[], $5::bytea[], $6::uuid[])
        ON CONFLICT DO NOTHING RETURNING source, id
        """,
        account_id,
        environment,
        *_split(names),
        [wanted[name].content_hash for name in names],
        [wanted[name].event_id for name in names],
    )
    return {(row["source"], row["id"]) for row in rows}


async def seen_names(
    connection: Connection, account_id: str, environment: Environment, names: Collection[Name]
) -> dict[Name, Seen]:
    """What stands under these names; those that nobody has taken are left out."""
    rows = await connection.fetch(
        """
        SELECT source, id, content_hash, event_id FROM billing.seen
        JOIN unnest($3::text[], $4::text[]) AS asked (source, id) USING (source, id)
        WHERE account_id = $1 AND environment = $2
        """,
        account_id,
        environment,
        *_split(sorted(names)),
    )
    return {(row["source"], row["id"]): Seen(row["content_hash"], row["event_id"]) for row in rows}


def _split(names: Iterable[Name]) -> tuple[list[str], list[str]]:
    """Sources and ids apart, as arrays travel."""
    pairs = list(names)
    return [source for source, _ in pairs], [id_ for _, id_ in pairs]
