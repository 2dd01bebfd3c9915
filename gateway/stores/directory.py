"""Keeps a worker's copy of everything a call is looked up in (`gateway/directory.py`) as fresh as PostgreSQL.

The copy is refreshed when PostgreSQL notifies a change and, should a notification be lost, by a poll. Rows are
taken by transaction id: everything at or above the last snapshot's xmin. A sequence would skip a row that was
numbered early and committed late; this never does.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import asyncpg
import msgspec

from catalog.load import PRICE_COLUMNS, PriceVersion, load, price_version
from catalog.passport import Passport, stored_passport
from catalog.vocabulary.clock import Clock, to_ns
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.problem import Problem
from gateway.directory import (
    AccountRecord,
    AllowancesRecord,
    BudgetRecord,
    Directory,
    KeyRecord,
    SubscriptionRecord,
)
from gateway.stores.failures import DATABASE_FAILURES

log = logging.getLogger(__name__)

CHANNEL = "catalogue"
POLL_S = 0.5
_PATIENCE_S = 3.0


class DirectoryStore:
    """Keeps the copy fresh. Reading it costs an attribute; only `refresh` talks to PostgreSQL."""

    def __init__(self, connect: Mapping[str, Any], clock: Clock, stale_max_s: int) -> None:
        """`connect` are asyncpg's arguments; a copy older than `stale_max_s` seconds is not served."""
        self._connect = connect
        self._clock = clock
        self._stale_max_ns = stale_max_s * 1_000_000_000
        self._xmin = 0
        self._account_rows: dict[str, asyncpg.Record] = {}
        self._subscriptions: dict[str, dict[str, SubscriptionRecord]] = {}
        self._accounts: dict[str, AccountRecord] = {}
        self._budgets: dict[str, dict[str, BudgetRecord]] = {}
        self._prepaid: dict[str, frozenset[Environment]] = {}
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
        connection = await self._open()
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
    def is_trusted(self) -> bool:
        """Whether the copy is young enough to be served."""
        return self.age_s * 1e9 <= self._stale_max_ns

    @property
    def age_s(self) -> float:
        """Seconds since the copy was last known to be right; infinite before the first."""
        if self._refreshed_ns is None:
            return float("inf")
        return (self._clock.monotonic_ns() - self._refreshed_ns) / 1e9

    async def _open(self) -> asyncpg.Connection:
        # A dead network path must not look like a quiet catalogue: revocations would be missed without a sign.
        return await asyncpg.connect(**self._connect, timeout=_PATIENCE_S, command_timeout=_PATIENCE_S)

    async def _follow(self, connection: asyncpg.Connection | None) -> None:
        try:
            while True:
                try:
                    if connection is None:
                        connection = await self._open()
                    await connection.add_listener(CHANNEL, self._notified)
                    while True:
                        with contextlib.suppress(TimeoutError):
                            await asyncio.wait_for(self._changed.wait(), POLL_S)
                        self._changed.clear()
                        await self._refresh(connection)
                except Exception as error:
                    # Whatever it is, the next attempt begins anew; a follower that ended would trust keys blindly.
                    if isinstance(error, DATABASE_FAILURES):
                        log.warning(
                            "the directory cannot be refreshed", extra={"reason": type(error).__name__}
                        )
                    else:
                        log.exception("the directory cannot be refreshed")
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
        """Take changed rows over. Records are replaced, never changed: whoever remembers one sees that it is old."""
        for row in rows["account"]:
            self._account_rows[row["id"]] = row
        for row in rows["subscription"]:
            terms = SubscriptionRecord(
                row["id"],
                row["service"],
                row["plan_id"],
                to_ns(row["starts_at"]),
                None if row["ends_at"] is None else to_ns(row["ends_at"]),
                None if row["prices_as_of"] is None else to_ns(row["prices_as_of"]),
            )
            self._subscriptions.setdefault(row["account_id"], {})[terms.id] = terms
        for row in rows["application"]:
            self._applications[row["id"]] = row["cost_centre_id"] or ""
        for row in rows["budget"]:
            budget = BudgetRecord(row["id"], row["environment"], row["scope"], row["scope_id"], row["amount"])
            budgets = self._budgets.setdefault(row["account_id"], {})
            if row["refuses"]:
                budgets[budget.id] = budget
            else:
                budgets.pop(budget.id, None)
        for row in rows["credit_grant"]:
            account_id = row["account_id"]
            self._prepaid[account_id] = self._prepaid.get(account_id, frozenset()) | {row["environment"]}
        changed = {row["id"] for row in rows["account"]}
        for table in ("subscription", "budget", "credit_grant"):
            changed |= {row["account_id"] for row in rows[table]}
        for account_id in changed:
            self._accounts[account_id] = self._account(account_id)
        if changed or rows["application"]:
            for public_id, key in self._keys.items():
                self._keys[public_id] = msgspec.structs.replace(
                    key,
                    account=self._accounts[key.account.id],
                    cost_centre_id=self._applications[key.application_id],
                )
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
        for row in rows["passport"]:
            with _kept_if_unreadable(f"passport of {row['service']}"):
                self._passports[row["service"]] = stored_passport(msgspec.json.decode(row["document"]))
        for row in rows["price_version"]:
            with _kept_if_unreadable(f"price {row['id']}"):
                version = price_version(row)
                self._prices[version.id] = version
        return any(rows.values())

    def _account(self, account_id: str) -> AccountRecord:
        row = self._account_rows[account_id]
        by_service: dict[str, tuple[SubscriptionRecord, ...]] = {}
        for terms in self._subscriptions.get(account_id, {}).values():
            by_service[terms.service] = (*by_service.get(terms.service, ()), terms)
        allowances = AllowancesRecord(
            self._prepaid.get(account_id, frozenset()), tuple(self._budgets.get(account_id, {}).values())
        )
        return AccountRecord(
            row["id"],
            row["name"],
            row["currency"],
            row["timezone"],
            row["kind"] == "external",
            by_service,
            allowances if allowances.prepaid or allowances.budgets else None,
            None if row["test_clock"] is None else to_ns(row["test_clock"]),
        )


@contextlib.contextmanager
def _kept_if_unreadable(what: str) -> Iterator[None]:
    """A row that only a newer version can read leaves the last good one in place, and everything else fresh."""
    try:
        yield
    except (ValueError, KeyError, msgspec.MsgspecError):
        log.critical(
            "a published row cannot be read; the last good one stays", exc_info=True, extra={"row": what}
        )


_CHANGED = {
    "account": "SELECT id, name, kind, currency, timezone, test_clock FROM catalog.account WHERE changed_xid >= $1::text::xid8",
    "subscription": """
        SELECT id, account_id, service, plan_id, starts_at, ends_at, prices_as_of FROM catalog.subscription
        WHERE changed_xid >= $1::text::xid8 ORDER BY starts_at
    """,
    "budget": """
        SELECT id, account_id, environment, scope, scope_id, amount, hard AND NOT ended AS refuses FROM billing.budget
        WHERE changed_xid >= $1::text::xid8
    """,
    # Who has paid something in advance pays in advance from then on; what is given away makes nobody stop.
    "credit_grant": """
        SELECT DISTINCT account_id, environment FROM billing.credit_grant
        WHERE category = 'paid' AND changed_xid >= $1::text::xid8
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
    "price_version": f"SELECT {PRICE_COLUMNS} FROM catalog.price_version WHERE changed_xid >= $1::text::xid8",  # noqa: S608
}
