"""Leases of quota, budget and credit: taken from PostgreSQL when a call needs one, returned when nobody does.

A call that finds a lease in memory costs no question. One that finds none asks for a slice, in one transaction; where
others hold what is left, they are asked for it and return it within a few turns. Nothing about safety depends on time:
what is leased to a worker counts as taken until the worker says otherwise, or is known to be dead.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import asyncpg

from billing.allowance import (
    Granted,
    Holder,
    OpenLease,
    Taken,
    Wanted,
    abandon_leases,
    close_leases,
    open_leases,
    register,
    shrink_leases,
    take,
)
from catalog.vocabulary.clock import Clock, from_ns, to_ns
from catalog.vocabulary.problem import Problem
from gateway.proofs import Permit
from gateway.stores.exhausted import exhausted
from gateway.stores.failures import DATABASE_FAILURES
from gateway.stores.hold import LeaseHold
from gateway.stores.lease_pool import Lease, LimitPool, LimitTerms, Parts
from gateway.stores.limit_terms import limits_of

log = logging.getLogger(__name__)

LEASE_S = 30
"""So long a worker goes on by a lease without PostgreSQL."""
TURN_S = 0.25
"""How often leases are looked through, while there are any."""
_IDLE_NS = 1_000_000_000
_WANTED_S = 2
# A call that finds the rest in other workers' hands waits for it so long; they look every `TURN_S`.
_RECALL_NS = 800_000_000
_RECALL_POLL_S = 0.1
# A refused limit is not asked for again at once, whatever a client sends.
_REFUSED_NS = 250_000_000
# Longer than any call may take: who has not ended by then was cancelled somewhere.
_IN_FLIGHT_NS = 120_000_000_000
_ASK_S = 2.0
_REMEMBERED_MAX = 20_000

_Key = tuple[str, str, str, str]


class LeaseStore:
    """This worker's leases. One for each worker; used from one event loop."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        journal_id: UUID,
        clock: Clock,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`journal_id` is the journal that this worker writes: it tells when the worker has died."""
        self._sleep = sleep
        self._pool = pool
        self._clock = clock
        self._holder = Holder(uuid4(), journal_id)
        self._limits: dict[_Key, LimitPool] = {}
        self._remembered: dict[tuple[str, str], tuple[Permit, tuple[LimitPool, ...]]] = {}
        self._leases: dict[int, Lease] = {}
        # Questions under way, and how many there have been: a lease that nobody here knows was lost with its answer
        # only if none was under way all the while.
        self._asking = 0
        self._asked = 0
        self._answer_lost = False
        self._ahead: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Say that this worker writes its journal; what an earlier writer held is then settled."""
        async with self._pool.acquire() as connection, connection.transaction():
            await register(connection, self._holder, from_ns(self._clock.now_ns()))

    async def stop(self) -> None:
        """Return what is left. Calls have ended by now."""
        for lease in self._leases.values():
            lease.retired = True
        try:
            await self.turn()
        except DATABASE_FAILURES as error:
            # The worker is known to be dead soon; then the recorded calls tell what was used.
            log.warning("leases are left to be settled", extra={"reason": type(error).__name__})

    def hold(self, permit: Permit, occurred_at_ns: int, admitted_ns: int) -> LeaseHold | None:
        """The limits that a call falls under, with nothing reserved yet; None where there are none."""
        caller, operation = permit.caller, permit.operation
        key = caller.key_id, operation.id
        known = self._remembered.get(key)
        if known is not None and known[0].caller is caller and known[0].operation is operation:
            pools = known[1]
        else:
            pools = tuple(self._limit(terms) for terms in limits_of(permit))
            if len(self._remembered) >= _REMEMBERED_MAX:
                self._remembered.clear()
            self._remembered[key] = permit, pools
        if not pools:
            return None
        return LeaseHold(pools, self._acquire, occurred_at_ns, admitted_ns)

    async def turn(self) -> None:
        """Look through the leases: return what is used up, idle, expired or wanted elsewhere. Raises what PostgreSQL raises."""
        now_ns = self._clock.monotonic_ns()
        if not self._leases and not self._answer_lost:
            return
        now = from_ns(self._clock.now_ns())
        async with self._pool.acquire(timeout=_ASK_S) as connection, connection.transaction():
            await connection.execute("SET LOCAL ordergate.account = '*'")
            quiet, asked = not self._asking, self._asked
            # First of all the question: while there is no answer nothing is given away that calls may still need.
            mine = await open_leases(connection, self._holder, now, now - timedelta(seconds=_WANTED_S))
            unknown = [one.id for one in mine if one.id not in self._leases]
            if not quiet or self._asking or asked != self._asked:
                unknown = []
            closed, shrunk, abandoned = self._sorted_out(mine, now_ns)
            closing = {lease.id: lease.used for lease in closed} | dict.fromkeys(unknown, Decimal(0))
            if closing:
                await close_leases(connection, closing, now)
            if shrunk:
                await shrink_leases(connection, shrunk)
            if abandoned:
                await abandon_leases(connection, [lease.id for lease in abandoned])
        self._answer_lost &= not quiet or self._asking > 0 or asked != self._asked
        for lease in (*closed, *abandoned):
            del self._leases[lease.id]
            lease.pool.drop(lease)

    def _sorted_out(
        self, mine: list[OpenLease], now_ns: int
    ) -> tuple[list[Lease], Mapping[int, Decimal], list[Lease]]:
        """Leases to end, those to make smaller and to which size, and those whose use is not known."""
        wanted = {one.id for one in mine if one.wanted}
        closed: list[Lease] = []
        shrunk: dict[int, Decimal] = {}
        abandoned: list[Lease] = []
        for lease in self._leases.values():
            over = lease.retired or lease.doubtful or lease.expires_ns <= now_ns
            if lease.left and not over and lease.id not in wanted and now_ns - lease.last_ns < _IDLE_NS:
                continue
            if lease.held and now_ns - lease.last_ns > _IN_FLIGHT_NS:
                # A call that was cancelled before anybody knew how it ended holds it; it is not charged any more.
                lease.held, lease.doubtful, lease.is_given_up = Decimal(0), True, True
            given, lease.left = lease.left, Decimal(0)
            if not lease.held:
                (abandoned if lease.doubtful else closed).append(lease)
            elif given and not lease.doubtful:
                shrunk[lease.id] = lease.used + lease.held
        return closed, shrunk, abandoned

    def _limit(self, terms: LimitTerms) -> LimitPool:
        key = terms.kind, terms.account_id, terms.environment, terms.subject
        found = self._limits.get(key)
        if found is None:
            found = self._limits[key] = LimitPool(terms, self._ask_ahead)
        found.terms = terms
        return found

    async def _acquire(self, limit: LimitPool, need: Decimal, occurred_at_ns: int) -> Parts:
        """Reserve after asking for what this worker lacks; `Problem` where nobody can spare it."""
        async with limit.asking:
            give_up_ns = self._clock.monotonic_ns() + _RECALL_NS
            while True:
                now_ns = self._clock.monotonic_ns()
                parts = limit.reserve(need, occurred_at_ns, now_ns)
                if parts is not None:
                    return parts
                if limit.refusal is not None:
                    until_ns, refused, problem = limit.refusal
                    if now_ns < until_ns and need >= refused:
                        raise problem
                taken = await self._ask(limit, need - limit.usable(occurred_at_ns, now_ns), occurred_at_ns)
                if taken.leases:
                    continue
                if taken.standing.reserved > 0 and now_ns < give_up_ns:
                    await self._sleep(_RECALL_POLL_S)
                    continue
                now, resets_at = from_ns(self._clock.now_ns()), from_ns(limit.ends_ns)
                problem = exhausted(limit.terms, taken.standing, need, resets_at, now)
                limit.refusal = self._clock.monotonic_ns() + _REFUSED_NS, need, problem
                raise problem

    def _ask_ahead(self, limit: LimitPool, need: Decimal, occurred_at_ns: int) -> None:
        """Have the next lease before this one is used up, so that no call waits for it."""
        if not limit.asking.locked():
            task = asyncio.get_running_loop().create_task(self._ask_alone(limit, need, occurred_at_ns))
            self._ahead.add(task)
            task.add_done_callback(self._ahead.discard)

    async def _ask_alone(self, limit: LimitPool, need: Decimal, occurred_at_ns: int) -> None:
        async with limit.asking:
            # Why there is none, the call that needs it will be told.
            with contextlib.suppress(Problem):
                await self._ask(limit, need, occurred_at_ns)

    async def _ask(self, limit: LimitPool, need: Decimal, occurred_at_ns: int) -> Taken:
        terms, now_ns = limit.terms, self._clock.monotonic_ns()
        now = from_ns(self._clock.now_ns())
        wanted = _wanted(limit, need, occurred_at_ns)
        self._asking += 1
        self._asked += 1
        answered = False
        try:
            async with self._pool.acquire(timeout=_ASK_S) as connection, connection.transaction():
                await connection.execute("SELECT set_config('ordergate.account', $1, true)", terms.account_id)
                taken = await take(connection, self._holder, wanted, now, now + timedelta(seconds=LEASE_S))
            answered = True
        except DATABASE_FAILURES as error:
            log.warning("no lease can be taken", extra={"reason": type(error).__name__, "limit": terms.kind})
            raise Problem(
                "unavailable",
                "What is left of a limit of this account cannot be asked for just now; nothing was changed.",
                retry_after_s=2,
            ) from None
        finally:
            self._asking -= 1
            self._answer_lost |= not answered
        for granted in taken.leases:
            self._add(limit, granted, now_ns)
        return taken

    def _add(self, limit: LimitPool, granted: Granted, asked_ns: int) -> None:
        until_ns = None if granted.valid_until is None else to_ns(granted.valid_until)
        lease = limit.add(
            granted.id,
            granted.amount,
            asked_ns + LEASE_S * 1_000_000_000,
            until_ns,
            self._clock.monotonic_ns(),
        )
        self._leases[lease.id] = lease


def _wanted(limit: LimitPool, need: Decimal, occurred_at_ns: int) -> Wanted:
    terms, starts_at = limit.terms, from_ns(limit.starts_ns)
    zone = ZoneInfo(terms.timezone)
    return Wanted(
        account_id=terms.account_id,
        environment=terms.environment,
        kind=terms.kind,
        subject=terms.subject,
        starts_on=starts_at.astimezone(zone).date(),
        starts_at=starts_at,
        month=from_ns(occurred_at_ns).astimezone(zone).date().replace(day=1),
        need=need,
        limit=terms.limit,
        counts=terms.counts,
        application_id=terms.application_id,
    )
