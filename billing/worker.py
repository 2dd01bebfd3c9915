"""`python -m billing.worker`: the process that keeps the flow going."""

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable

import asyncpg
import msgspec
from asyncpg.exceptions import InternalClientError

from billing.flow import Flow
from billing.journal import JournalDamaged
from billing.metrics import Metrics
from billing.payment.collector import Collector
from billing.payment.open import open_stripe
from billing.payment.provider import ProviderRefused
from billing.rollup.roll_up import UnknownPayer
from billing.settings import Settings, StripeSecrets, from_environment, stripe_secrets
from billing.sla.probe import Prober
from billing.store.connection import billing_pool
from billing.store.halt import ShippingHalted
from catalog.vocabulary.clock import Clock, SystemClock
from catalog.vocabulary.logs import log_json
from catalog.vocabulary.settings import InvalidSetting

log = logging.getLogger("billing.worker")

_PAUSE_MIN_S = 0.1
_PAUSE_MAX_S = 5.0
_ALARM_PAUSE_S = 60.0
# The supervisor waits 15 s for billing to end.
_DRAIN_S = 10.0
_CLOSE_S = 3.0

# What a server that is stopped, restarted, overloaded or out of reach does to its clients. It passes.
_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    # A server that shuts down says so between two statements, which asyncpg takes for a fault of its own.
    InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
)
# What a person has to look at. The other steps go on.
_ALARMS = (JournalDamaged, ShippingHalted, UnknownPayer)


class _Step(msgspec.Struct):
    """A step, how often it is taken, and when it is due (monotonic nanoseconds). `take` says whether to go on at once."""

    name: str
    every_s: float
    take: Callable[[], Awaitable[bool]]
    due_ns: int = 0


class _Tally(msgspec.Struct):
    """What was done since the last report."""

    events: int = 0
    records: int = 0
    rolled_up: int = 0
    lines: int = 0
    ship_lag_ms: int = 0


class Worker:
    """Takes the flow's steps when they are due, waits out an absent database, and reports."""

    def __init__(self, flow: Flow, settings: Settings, clock: Clock) -> None:
        """Nothing runs before `run`."""
        self._flow = flow
        self._clock = clock
        self._tally = _Tally()
        self._metrics = Metrics()
        self._unratable: object = ()
        self._steps = (
            _Step("prepare-days", settings.upkeep_every_s, self._prepare_days),
            _Step("ship", settings.ship_every_s, self._ship),
            _Step("roll-up", settings.roll_up_every_s, self._roll_up),
            _Step("settle-leases", settings.settle_leases_every_s, self._settle_leases),
            _Step("rate", settings.rate_every_s, self._rate),
            _Step("service-level", settings.service_level_every_s, self._watch_service_level),
            _Step("expire-credit", settings.upkeep_every_s, self._expire_credit),
            _Step("remind", settings.upkeep_every_s, self._remind),
            _Step("forget-limits", settings.upkeep_every_s, self._flow.forget_limits),
            _Step("prune", settings.upkeep_every_s, self._prune),
            _Step("report", settings.report_every_s, self._report),
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then take what the gateway has left behind through all steps once more."""
        pause_s = _PAUSE_MIN_S
        while not stop.is_set():
            try:
                wait_s = await self._turn()
                pause_s = _PAUSE_MIN_S
            except _AWAY as error:
                log.warning("the database is away", extra={"reason": repr(error), "pause_s": pause_s})
                wait_s, pause_s = pause_s, min(2 * pause_s, _PAUSE_MAX_S)
            await _wait(stop, wait_s)
        try:
            async with asyncio.timeout(_DRAIN_S):
                await self._drain()
        except (*_AWAY, *_ALARMS) as error:
            log.warning("stopped with work left over", extra={"reason": repr(error)})
        log.info("stopped", extra=msgspec.structs.asdict(self._tally))

    async def _turn(self) -> float:
        """Take every step that is due; the seconds until the next one is."""
        for step in self._steps:
            if step.due_ns <= self._clock.monotonic_ns():
                pause_s = step.every_s
                try:
                    if await step.take():
                        pause_s = 0
                except _ALARMS as alarm:
                    log.critical("a step cannot be taken", extra={"step": step.name, "reason": str(alarm)})
                    pause_s = _ALARM_PAUSE_S
                step.due_ns = self._clock.monotonic_ns() + int(pause_s * 1_000_000_000)
        next_ns = min(step.due_ns for step in self._steps)
        return max(0, next_ns - self._clock.monotonic_ns()) / 1_000_000_000

    async def _drain(self) -> None:
        for take in (self._ship, self._roll_up, self._rate):
            while await take():
                pass

    async def _prepare_days(self) -> bool:
        await self._flow.prepare_days()
        return False

    async def _ship(self) -> bool:
        done = await self._flow.ship()
        for halt in done.halts:
            log.critical(
                "a journal is not shipped", extra={"journal": str(halt.journal), "reason": halt.detail}
            )
        if done.last_occurred_ns:
            lag_ms = (self._clock.now_ns() - done.last_occurred_ns) // 1_000_000
            self._tally.ship_lag_ms = max(self._tally.ship_lag_ms, lag_ms)
        self._tally.events += done.events
        self._tally.records += done.records
        return done.more

    async def _roll_up(self) -> bool:
        done = await self._flow.roll_up()
        self._tally.rolled_up += done.events
        return done.more

    async def _rate(self) -> bool:
        report = await self._flow.rate()
        self._tally.lines += report.lines
        if report.unratable != self._unratable:
            self._unratable = report.unratable
            for month in report.unratable:
                log.error(
                    "a month cannot be rated", extra={"month": repr(month.month), "reason": month.reason}
                )
        return report.more

    async def _settle_leases(self) -> bool:
        if settled := await self._flow.settle_leases():
            log.info("leases without a holder were settled from recorded calls", extra={"leases": settled})
        return False

    async def _expire_credit(self) -> bool:
        await self._flow.expire_credit()
        return False

    async def _remind(self) -> bool:
        if announced := await self._flow.remind():
            log.info("overdue invoices were reminded of", extra={"reminders": announced})
        return False

    async def _watch_service_level(self) -> bool:
        await self._flow.watch_service_level()
        return False

    async def _prune(self) -> bool:
        removed = await self._flow.prune()
        if removed:
            log.info("journal segments removed", extra={"segments": removed})
        return False

    async def _report(self) -> bool:
        roll_up_lag_ms = await self._flow.roll_up_lag_ms()
        halted = [{"journal": str(halt.journal), "case": halt.case} for halt in self._flow.halted]
        figures = {**msgspec.structs.asdict(self._tally), "roll_up_lag_ms": roll_up_lag_ms, "halted": halted}
        log.info("progress", extra=figures)
        self._metrics.report(
            ship_lag_ms=self._tally.ship_lag_ms,
            roll_up_lag_ms=roll_up_lag_ms,
            halted=len(halted),
            events=self._tally.events,
            now_ns=self._clock.now_ns(),
        )
        self._tally = _Tally()
        return False


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


async def _stopped(stop: asyncio.Event, seconds: float) -> bool:
    await _wait(stop, seconds)
    return stop.is_set()


async def _collect(pool: asyncpg.Pool, secrets: StripeSecrets, clock: Clock, stop: asyncio.Event) -> None:
    """Collect through Stripe. Whatever fails here, usage goes on being shipped and rated."""
    try:
        provider = open_stripe(secrets)
    except ProviderRefused as refused:
        log.critical("nothing is collected", extra={"reason": refused.reason})
        return
    if secrets.trial:
        log.warning("this installation is for trying out: Stripe's play money is collected, and no other")
    try:
        while not stop.is_set():
            try:
                await Collector(pool, provider, clock).run(lambda seconds: _stopped(stop, seconds), _AWAY)
            except ProviderRefused as refused:
                log.critical("nothing is collected", extra={"reason": refused.reason})
                await _wait(stop, _ALARM_PAUSE_S)
            except Exception:
                # What it worked on stays leased and is not the next thing that is taken.
                log.critical("collection failed", exc_info=True)
                await _wait(stop, _ALARM_PAUSE_S)
    finally:
        provider.close()


async def serve(
    settings: Settings, clock: Clock, stop: asyncio.Event, secrets: StripeSecrets | None = None
) -> None:
    """Build the process and work until `stop` is set; with secrets, collect as well."""
    settings.journals.mkdir(mode=0o700, parents=True, exist_ok=True)
    pool = await billing_pool(settings.connect_arguments())
    flow = Flow(pool, settings.journals, settings.journal_mirror, clock)
    try:
        async with asyncio.TaskGroup() as group:
            collecting = None
            if secrets is not None:
                collecting = group.create_task(_collect(pool, secrets, clock, stop))
            if settings.probe_url is not None:
                prober = Prober(pool, settings.probe_url, settings.probe_minutes, clock)
                group.create_task(prober.run(stop))
            await Worker(flow, settings, clock).run(stop)
            if collecting is not None:
                # A request that hangs keeps nobody: its task falls due again when its lease has ended.
                collecting.cancel()
    finally:
        flow.close()
        try:
            async with asyncio.timeout(_CLOSE_S):
                await pool.close()
        except TimeoutError:
            pool.terminate()


async def _serve_until_told(settings: Settings, secrets: StripeSecrets | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, SystemClock(), stop, secrets)


def main() -> int:
    """Work until told to stop; 0 after a clean stop, 2 where the settings cannot be used."""
    log_json("billing")
    try:
        settings = from_environment()
        secrets = stripe_secrets(settings.home)
    except InvalidSetting as error:
        log.critical(str(error))
        return 2
    asyncio.run(_serve_until_told(settings, secrets))
    return 0


if __name__ == "__main__":
    sys.exit(main())
