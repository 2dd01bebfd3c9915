"""Builds one gateway worker. The only place where its objects are made and joined."""

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import asyncpg
from prometheus_client import CollectorRegistry

from atomic_services import registry
from atomic_services.contract import AtomicService
from billing.inbox import open_inbox
from billing.journal import Journal
from billing.record import record
from catalog.vocabulary.clock import Clock, SystemClock, from_ns
from gateway.authenticate import Authenticator
from gateway.control.build import ControlPlane, build_control
from gateway.control.context import ControlContext
from gateway.idempotency import Idempotency
from gateway.limit import Limiter
from gateway.meter import Meter
from gateway.pipeline import Pipeline
from gateway.settings import Settings
from gateway.stores import replies, sign_in
from gateway.stores.counters import SharedCounters
from gateway.stores.directory import DirectoryStore
from gateway.stores.failures import DATABASE_FAILURES
from gateway.stores.leases import TURN_S, LeaseStore
from gateway.stores.peppers import load_peppers
from gateway.stores.refusals import RefusalCounter
from gateway.stores.unit_of_work import PostgresUnitsOfWork, open_pool
from gateway.telemetry import Metrics, Standing

log = logging.getLogger(__name__)

_FLUSH_S = 1.0
_SWEEP_S = 0.5
_SWEEPS_AT_ONCE_MAX = 40
_FORGET_S = 60.0


class Gateway:
    """A worker's parts, started in order and stopped in reverse."""

    def __init__(
        self, settings: Settings, connect: Callable[[str], Mapping[str, Any]], clock: Clock | None = None
    ) -> None:
        """`connect` answers asyncpg's arguments for a database role."""
        self.settings = settings
        self._connect = connect
        self._clock = clock or SystemClock()
        self._closing = contextlib.AsyncExitStack()
        self._background: list[asyncio.Task[None]] = []
        self.journal: Journal
        self.directory: DirectoryStore
        self.pool: asyncpg.Pool
        self.control: ControlPlane
        self.pipeline: Pipeline

    async def start(self) -> None:
        """Open everything and check that code and catalogue agree; raises what stands in the way, with all given back."""
        try:
            await self._open()
        except BaseException:
            await self.stop()
            raise

    async def _open(self) -> None:
        settings, clock = self.settings, self._clock
        for service in registry.SERVICES.values():
            if service.prepare is not None:
                service.prepare()
        self.journal = await Journal.open_free(settings.journals, clock=clock, mirror=settings.journal_mirror)
        self._closing.push_async_callback(self.journal.close)
        counters = SharedCounters(settings.run / "rates")
        self._closing.callback(counters.close)
        self.directory = directory = DirectoryStore(
            self._connect("ordergate_gateway"), clock, settings.auth_stale_max_s
        )
        await directory.start()
        self._closing.push_async_callback(directory.stop)
        registry.check(directory.current().catalogue)
        self.pool = pool = await open_pool(self._connect("ordergate_gateway"), settings.database_connections)
        self._closing.callback(pool.terminate)
        leases = LeaseStore(pool, self.journal.journal_id, clock)
        await leases.start()
        self._closing.push_async_callback(leases.stop)
        refusals = RefusalCounter(self.journal, clock)
        self._closing.callback(refusals.flush)
        metrics_registry = CollectorRegistry()
        metrics = Metrics(metrics_registry)
        standing = Standing(metrics_registry)
        tracing = None
        if settings.otlp_endpoint is not None:
            from gateway.tracing import Tracing, otlp_exporter

            tracing = Tracing(otlp_exporter(settings.otlp_endpoint), clock)
            self._closing.callback(tracing.shutdown)
        peppers = load_peppers(settings.home)
        authenticate = Authenticator(directory.current, peppers)
        self.pipeline = Pipeline(
            clock=clock,
            directory=directory.current,
            authenticate=authenticate,
            limit=Limiter(counters, leases, clock),
            operations=registry.operations(),
            meter=Meter(self.journal, record, clock),
            units=PostgresUnitsOfWork(pool),
            idempotency=Idempotency(replies),
            refusals=refusals,
            metrics=metrics,
            tracing=tracing,
        )
        self.control = build_control(
            ControlContext(
                clock=clock,
                directory=directory,
                authenticate=authenticate,
                pool=pool,
                reader=self._connect("ordergate_reader"),
                journal=self.journal,
                metrics_registry=metrics_registry,
                metrics_dir=settings.metrics_dir,
                metrics_token=settings.metrics_token,
                peppers=peppers,
                inbox=open_inbox(settings.home, clock),
            )
        )
        self._closing.push_async_callback(self.control.close)
        self._repeat(_FLUSH_S, _as_async(refusals.flush))
        self._repeat(_FLUSH_S, _as_async(metrics.flush))
        self._repeat(_FLUSH_S, _as_async(lambda: self._show(standing)))
        self._repeat(TURN_S, leases.turn)
        self._repeat(_FORGET_S, self.forget_expired)
        for service in registry.SERVICES.values():
            if service.sweep is not None:
                self._repeat(_SWEEP_S, self._sweeper(pool, service))

    async def stop(self) -> None:
        """Finish what was accepted and give everything back."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._closing.aclose()

    def _repeat(self, seconds: float, step: Callable[[], Any]) -> None:
        async def run() -> None:
            while True:
                await asyncio.sleep(seconds)
                try:
                    await step()
                except DATABASE_FAILURES as error:
                    log.warning(
                        "background work waits for PostgreSQL", extra={"reason": type(error).__name__}
                    )
                except Exception:
                    # Whatever it is, the next attempt begins anew: a worker whose leases are looked through no more
                    # would hold its accounts' quota and credit for ever, and nobody would see why.
                    log.exception("background work failed and is tried again")

        self._background.append(asyncio.create_task(run()))

    async def forget_expired(self) -> None:
        """Delete the kept replies, sign-in links and sessions whose time is over, however many, in short transactions."""
        now = from_ns(self._clock.now_ns())
        for forget in (replies.forget_expired, sign_in.forget_expired):
            forgotten = -1
            while forgotten:
                async with self.pool.acquire() as connection, connection.transaction():
                    await connection.execute("SET LOCAL ordergate.account = '*'")
                    forgotten = await forget(connection, now)

    def _show(self, standing: Standing) -> None:
        """How the worker stands, for /metrics."""
        folders = filter(None, (self.settings.journals, self.settings.journal_mirror))
        standing.show(
            journal_accepts=self.journal.healthy,
            journal_free_bytes=min(shutil.disk_usage(folder).free for folder in folders),
            connections=self.pool.get_max_size(),
            connections_in_use=self.pool.get_size() - self.pool.get_idle_size(),
            directory_age_s=self.directory.age_s,
        )

    def _sweeper(self, pool: Any, service: AtomicService) -> Callable[[], Any]:
        async def sweep() -> None:
            assert service.sweep is not None
            for _ in range(_SWEEPS_AT_ONCE_MAX):
                async with pool.acquire() as connection, connection.transaction():
                    await connection.execute("SET LOCAL ordergate.account = '*'")
                    more = await service.sweep(connection, from_ns(self._clock.now_ns()))
                if not more:
                    return

        return sweep


def _as_async(step: Callable[[], None]) -> Callable[[], Any]:
    async def run() -> None:
        step()

    return run
