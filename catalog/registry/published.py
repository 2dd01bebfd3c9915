"""What is on sale, as the registry holds it: the newest passport of each service, and how it came about."""

from collections.abc import Collection, Mapping
from datetime import datetime

import asyncpg
import msgspec

from catalog.load import PRICE_COLUMNS, Catalogue, PriceVersion, load, price_version
from catalog.passport import Passport, stored_passport
from catalog.transaction import Transaction
from catalog.vocabulary.problem import Problem


class Published(msgspec.Struct, frozen=True):
    """One published revision of a service's passport; revisions count from 1 and never change."""

    service: str
    revision: int
    passport: Passport
    interface_digest: str
    published_at: datetime
    published_by: str


_COLUMNS = "service, revision, document, interface_digest, published_at, published_by"


async def current(transaction: Transaction) -> Mapping[str, Published]:
    """The newest revision of every service, by service, in alphabetical order."""
    rows = await transaction.fetch(
        f"SELECT DISTINCT ON (service) {_COLUMNS} FROM catalog.passport ORDER BY service, revision DESC"  # noqa: S608 - a constant
    )
    return {row["service"]: _published(row) for row in rows}


async def history(transaction: Transaction, service: str) -> tuple[Published, ...]:
    """All revisions of a service, newest first; `Problem` not-found if there are none."""
    rows = await transaction.fetch(
        f"SELECT {_COLUMNS} FROM catalog.passport WHERE service = $1 ORDER BY revision DESC",  # noqa: S608 - a constant
        service,
    )
    if not rows:
        raise Problem(
            "not-found", f"No service {service!r} is published; `ordergate services` lists those that are."
        )
    return tuple(_published(row) for row in rows)


async def price_versions(
    transaction: Transaction, ids: Collection[str] | None = None
) -> tuple[PriceVersion, ...]:
    """Every price version ever published, or those of these ids."""
    rows = await transaction.fetch(
        f"""
        SELECT {PRICE_COLUMNS} FROM catalog.price_version WHERE $1::text[] IS NULL OR id = ANY($1)
        ORDER BY plan_id, operation, currency, version
        """,  # noqa: S608 - a constant
        None if ids is None else list(ids),
    )
    return tuple(price_version(row) for row in rows)


async def catalogue(transaction: Transaction) -> Catalogue:
    """Everything on sale, frozen and cross-checked, as the call path sees it."""
    passports = [published.passport for published in (await current(transaction)).values()]
    return load(passports, await price_versions(transaction))


def _published(row: asyncpg.Record) -> Published:
    return Published(
        row["service"],
        row["revision"],
        stored_passport(msgspec.json.decode(row["document"])),
        row["interface_digest"],
        row["published_at"],
        row["published_by"],
    )
