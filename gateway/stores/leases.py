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
import msgspec

from billing.allowance import (
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
from catalog.vocabulary.clock import Clock, from_ns
from catalog.vocabulary.problem import Problem
from gateway.proofs import Permit
from gateway.stores.exhausted import exhausted
from gateway.stores.failures import DATABASE_FAILURES
from gateway.stores.hold import LeaseHold, Limits
from gateway.stores.lease import Lease
from gateway.stores.lease_pool import LimitPool, LimitTerms
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
# When an answer is lost its transaction may still commit, and leave a lease that nobody here knows.
_LOST_NS = 60_000_000_000
_ASK_S = 2.0
_REMEMBERED_MAX = 20_000

_Key = tuple[str, str, str, str]


class _SortedOut(msgspec.Struct, frozen=True):
    """Leases to end, the new worth of those to make smaller, by id, and leases whose use is not known."""

    closed: list[Lease]
    shrunk: Mapping[int, Decimal]
    abandoned: list[Lease]


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
        self._remembered: dict[tuple[str, str], Limits] = {}
        self._leases: dict[int, Lease] = {}
        # Questions under way, and how many there have been: a lease that nobody here knows was lost with its answer
        # only if none was under way all the while.
        self._asking = 0
        self._asked = 0
        self._lost_until_ns = 0
        self._ahead: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Say that this worker writes its journal; what an earlier writer held is then settled."""
        async with self._pool.acquire() as connection, connection.transaction():
            await register(connection, self._holder, from_ns(self._clock.now_ns()))

    async def stop(self) -> None:
        """Return what is left. Calls have ended by now."""
        if self._ahead:
            await asyncio.wait(self._ahead)
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
        limits = self._remembered.get((caller.key_id, operation.id))
        if limits is None or limits.caller is not caller or limits.operation is not operation:
            limits = self._remember(permit)
        return LeaseHold(limits, occurred_at_ns, admitted_ns) if limits.pools else None

    def _remember(self, permit: Permit) -> Limits:
        """The limits of a key's calls to an operation, as the directory has them now."""
        caller, operation = permit.caller, permit.operation
        pools = tuple(self._limit(terms) for terms in limits_of(permit))
        if len(self._remembered) >= _REMEMBERED_MAX:
            self._remembered.clear()
        limits = self._remembered[caller.key_id, operation.id] = Limits(caller, operation, pools, self)
        return limits

    async def turn(self) -> None:
        """Look through the leases: return what is used up, idle, expired or wanted elsewhere. Raises what PostgreSQL raises."""
        now_ns = self._clock.monotonic_ns()
        if not self._leases and now_ns >= self._lost_until_ns:
            return
        now = from_ns(self._clock.now_ns())
        async with self._pool.acquire(timeout=_ASK_S) as connection, connection.transaction():
            await connection.execute("SET LOCAL ordergate.account = '*'")
            quiet, asked = not self._asking, self._asked
            # First of all the question: while there is no answer nothing is given away that calls may still need.
            mine = await open_leases(connection, self._holder, now, now - timedelta(seconds=_WANTED_S))
            unknown: dict[int, Decimal] = {}
            if quiet and asked == self._asked:
                unknown = {one.id: Decimal(0) for one in mine if one.id not in self._leases}
            found = self._sort_out(mine, now_ns)
            if closing := unknown | {lease.id: lease.used for lease in found.closed}:
                await close_leases(connection, closing, now)
            if found.shrunk:
                await shrink_leases(connection, found.shrunk)
            if found.abandoned:
                await abandon_leases(connection, [lease.id for lease in found.abandoned])
        for lease in (*found.closed, *found.abandoned):
            del self._leases[lease.id]
            lease.pool.drop(lease)

    def _sort_out(self, mine: list[OpenLease], now_ns: int) -> _SortedOut:
        """What to do with which lease. What is left of those to return can be reserved no more."""
        wanted = {one.id for one in mine if one.wanted}
        closed: list[Lease] = []
        shrunk: dict[int, Decimal] = {}
        abandoned: list[Lease] = []
        for lease in self._leases.values():
            lease.pool.gather()
            over = lease.retired or lease.is_doubtful or lease.expires_ns <= now_ns
            if lease.left and not over and lease.id not in wanted and now_ns - lease.last_ns < _IDLE_NS:
                continue
            given, lease.left = lease.left, Decimal(0)
            lease.worth -= given
            if not lease.is_held:
                (abandoned if lease.is_doubtful else closed).append(lease)
            elif given and not lease.is_doubtful:
                shrunk[lease.id] = lease.worth
        return _SortedOut(closed, shrunk, abandoned)

    def _limit(self, terms: LimitTerms) -> LimitPool:
        key = terms.kind, terms.account_id, terms.environment, terms.subject
        found = self._limits.get(key)
        if found is None:
            found = self._limits[key] = LimitPool(terms, self._ask_ahead)
        found.change(terms)
        return found

    async def supply(self, limit: LimitPool, need: Decimal, occurred_at_ns: int) -> None:
        """Return once this worker has what a call needs of a limit; `Problem` where nobody can spare it."""
        async with limit.asking:
            give_up_ns = self._clock.monotonic_ns() + _RECALL_NS
            while True:
                now_ns = self._clock.monotonic_ns()
                lacking = limit.lacks(need, occurred_at_ns, now_ns)
                if not lacking:
                    return
                if (standing := limit.refused(need, now_ns)) is not None:
                    resets_at = from_ns(limit.ends_ns)
                    raise exhausted(limit.terms, standing, need, resets_at, from_ns(self._clock.now_ns()))
                taken = await self._ask(limit, lacking)
                if taken.leases:
                    continue
                if taken.standing.reserved > 0 and now_ns < give_up_ns:
                    await self._sleep(_RECALL_POLL_S)
                else:
                    limit.refuse(need, taken.standing, self._clock.monotonic_ns() + _REFUSED_NS)

    def _ask_ahead(self, limit: LimitPool, need: Decimal) -> None:
        """Have the next lease before this one is used up, so that no call waits for it."""
        if not limit.asking.locked():
            task = asyncio.get_running_loop().create_task(self._ask_alone(limit, need))
            self._ahead.add(task)
            task.add_done_callback(self._ahead.discard)

    async def _ask_alone(self, limit: LimitPool, need: Decimal) -> None:
        async with limit.asking:
            # Why there is none, the call that needs it will be told.
            with contextlib.suppress(Problem):
                await self._ask(limit, need)

    async def _ask(self, limit: LimitPool, need: Decimal) -> Taken:
        generation, now_ns = limit.generation, self._clock.monotonic_ns()
        now, wanted = from_ns(self._clock.now_ns()), _wanted(limit, need)
        self._asking += 1
        self._asked += 1
        answered = False
        try:
            async with self._pool.acquire(timeout=_ASK_S) as connection, connection.transaction():
                await connection.execute(
                    "SELECT set_config('ordergate.account', $1, true)", wanted.account_id
                )
                taken = await take(connection, self._holder, wanted, now, now + timedelta(seconds=LEASE_S))
            answered = True
        except DATABASE_FAILURES as error:
            log.warning("no lease can be taken", extra={"reason": type(error).__name__, "limit": wanted.kind})
            raise Problem(
                "unavailable",
                "What is left of a limit of this account cannot be asked for just now; nothing was changed.",
                retry_after_s=2,
            ) from None
        finally:
            self._asking -= 1
            if not answered:
                self._lost_until_ns = self._clock.monotonic_ns() + _LOST_NS
        for granted in taken.leases:
            expires_ns = now_ns + LEASE_S * 1_000_000_000
            lease = limit.add(granted, generation, expires_ns, self._clock.monotonic_ns())
            self._leases[lease.id] = lease
        return taken


def _wanted(limit: LimitPool, need: Decimal) -> Wanted:
    terms, starts_at = limit.terms, from_ns(limit.starts_ns)
    starts_on = starts_at.astimezone(ZoneInfo(terms.timezone)).date()
    return Wanted(
        account_id=terms.account_id,
        environment=terms.environment,
        kind=terms.kind,
        subject=terms.subject,
        starts_on=starts_on,
        starts_at=starts_at,
        month=starts_on.replace(day=1),
        need=need,
        limit=terms.limit,
        counts=terms.counts,
        application_id=terms.application_id,
    )
