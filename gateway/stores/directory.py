"""A worker's copy of everything a call is looked up in: keys, accounts, subscriptions and the catalogue.

The copy is refreshed when PostgreSQL notifies a change and, should a notification be lost, by a poll. Rows are
taken by transaction id: everything at or above the last snapshot's xmin. A sequence would skip a row that was
numbered early and committed late; this never does.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any

import asyncpg
import msgspec

from catalog.load import Catalogue, PriceVersion, load, price_version
from catalog.passport import Passport, check_passport
from catalog.vocabulary.clock import Clock
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.problem import Problem

log = logging.getLogger(__name__)

CHANNEL = "catalogue"
POLL_S = 0.5


class AccountRecord(msgspec.Struct):
    """An account as the call path needs it; `subscriptions` maps service to (subscription id, plan id)."""

    id: str
    name: str
    currency: str
    timezone: str
    subscriptions: dict[str, tuple[str, str]]


class KeyRecord(msgspec.Struct, frozen=True):
    """A credential. `scopes` are operations (`stock/reserve`), services (`stock/*`) or `*`."""

    public_id: str
    account: AccountRecord
    application_id: str
    environment: Environment
    cost_centre_id: str
    digest: bytes
    pepper_version: int
    scopes: frozenset[str]
    revoked: bool


class Directory(msgspec.Struct, frozen=True):
    """One consistent copy; replaced as a whole, so a call sees the old one or the new one and never a mix."""

    keys: Mapping[str, KeyRecord]
    accounts: Mapping[str, AccountRecord]
    catalogue: Catalogue


class DirectoryStore:
    """Keeps the copy fresh. Reading it costs an attribute; only `refresh` talks to PostgreSQL."""

    def __init__(self, connect: Mapping[str, Any], clock: Clock, stale_max_s: int) -> None:
        """`connect` are asyncpg's arguments; a copy older than `stale_max_s` seconds is not served."""
        self._connect = connect
        self._clock = clock
        self._stale_max_ns = stale_max_s * 1_000_000_000
        self._xmin = 0
        self._accounts: dict[str, AccountRecord] = {}
        self._applications: dict[str, str] = {}
        self._keys: dict[str, KeyRecord] = {}
        self._passports: dict[str, Passport] = {}
        self._prices: dict[str, PriceVersion] = {}
        self._current = Directory({}, {}, load((), ()))
        self._refreshed_ns: int | None = None
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take the first copy and keep it fresh in the background; raises what PostgreSQL raises."""
        connection = await asyncpg.connect(**self._connect)
        try:
            await self._refresh(connection)
        except BaseException:
            connection.terminate()
            raise
        self._task = asyncio.create_task(self._follow(connection))

    async def stop(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def current(self) -> Directory:
        """The copy; `Problem` unavailable when PostgreSQL has been away for longer than keys may be trusted."""
        refreshed = self._refreshed_ns
        if refreshed is None or self._clock.monotonic_ns() - refreshed > self._stale_max_ns:
            raise Problem("unavailable", "Credentials cannot be checked just now.", retry_after_s=5)
        return self._current

    @property
    def age_s(self) -> float:
        """Seconds since the copy was last known to be right; infinite before the first."""
        if self._refreshed_ns is None:
            return float("inf")
        return (self._clock.monotonic_ns() - self._refreshed_ns) / 1e9

    async def _follow(self, connection: asyncpg.Connection | None) -> None:
        try:
            while True:
                try:
                    if connection is None:
                        connection = await asyncpg.connect(**self._connect)
                    await connection.add_listener(CHANNEL, self._notified)
                    while True:
                        with contextlib.suppress(TimeoutError):
                            await asyncio.wait_for(self._changed.wait(), POLL_S)
                        self._changed.clear()
                        await self._refresh(connection)
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                    log.warning("the directory cannot be refreshed", extra={"reason": type(error).__name__})
                    if connection is not None:
                        connection.terminate()
                        connection = None
                    await asyncio.sleep(POLL_S)
        finally:
            if connection is not None:
                connection.terminate()

    def _notified(self, *_: object) -> None:
        self._changed.set()

    async def _refresh(self, connection: asyncpg.Connection) -> None:
        asked_ns = self._clock.monotonic_ns()
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute("SELECT set_config('ordergate.account', '*', true)")
            xmin = await connection.fetchval("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
            rows = {name: await connection.fetch(query, str(self._xmin)) for name, query in _CHANGED.items()}
        changed = self._apply(rows)
        self._xmin = xmin
        if changed:
            catalogue = self._current.catalogue
            if rows["passport"] or rows["price_version"]:
                catalogue = load(self._passports.values(), self._prices.values())
            self._current = Directory(dict(self._keys), dict(self._accounts), catalogue)
        self._refreshed_ns = asked_ns

    def _apply(self, rows: Mapping[str, list[asyncpg.Record]]) -> bool:
        for row in rows["account"]:
            held = self._accounts.get(row["id"])
            subscriptions = held.subscriptions if held else {}
            self._accounts[row["id"]] = AccountRecord(
                row["id"], row["name"], row["currency"], row["timezone"], subscriptions
            )
        for row in rows["subscription"]:
            account = self._accounts[row["account_id"]]
            if row["ended"]:
                if account.subscriptions.get(row["service"], ("",))[0] == row["id"]:
                    account.subscriptions = {
                        k: v for k, v in account.subscriptions.items() if k != row["service"]
                    }
            else:
                account.subscriptions = {**account.subscriptions, row["service"]: (row["id"], row["plan_id"])}
        for row in rows["application"]:
            self._applications[row["id"]] = row["cost_centre_id"] or ""
        for row in rows["api_key"]:
            self._keys[row["public_id"]] = KeyRecord(
                row["public_id"],
                self._accounts[row["account_id"]],
                row["application_id"],
                row["environment"],
                self._applications[row["application_id"]],
                row["digest"],
                row["pepper_version"],
                frozenset(row["scopes"]),
                row["revoked"],
            )
        if rows["account"] or rows["application"]:
            for public_id, key in self._keys.items():
                self._keys[public_id] = msgspec.structs.replace(
                    key,
                    account=self._accounts[key.account.id],
                    cost_centre_id=self._applications[key.application_id],
                )
        for row in rows["passport"]:
            self._passports[row["service"]] = check_passport(msgspec.json.decode(row["document"]))
        for row in rows["price_version"]:
            version = price_version({**row, "price": msgspec.json.decode(row["price"])})
            self._prices[version.id] = version
        return any(rows.values())


_CHANGED = {
    "account": "SELECT id, name, currency, timezone FROM catalog.account WHERE changed_xid >= $1::text::xid8",
    "subscription": """
        SELECT id, account_id, service, plan_id, coalesce(ends_at <= now(), false) AS ended FROM catalog.subscription
        WHERE changed_xid >= $1::text::xid8 ORDER BY ends_at NULLS LAST
    """,
    "application": "SELECT id, cost_centre_id FROM catalog.application WHERE changed_xid >= $1::text::xid8",
    "api_key": """
        SELECT public_id, account_id, application_id, environment, digest, pepper_version, scopes,
               revoked_at IS NOT NULL AS revoked
        FROM gateway.api_key WHERE changed_xid >= $1::text::xid8
    """,
    # Only the newest revision of each service is on sale.
    "passport": """
        SELECT DISTINCT ON (service) service, document FROM catalog.passport
        WHERE changed_xid >= $1::text::xid8 ORDER BY service, revision DESC
    """,
    "price_version": """
        SELECT id, service, plan_id, operation, currency, effective_from, billable_on, model, price
        FROM catalog.price_version WHERE changed_xid >= $1::text::xid8
    """,
}
