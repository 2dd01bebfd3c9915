"""Keeps collection going beside the flow: a provider that answers slowly never delays an event."""

import logging
from collections.abc import Awaitable, Callable

import asyncpg

from billing.payment.mode import keep_mode
from billing.payment.outbox import take_task
from billing.payment.provider import PaymentProvider
from billing.payment.send import send
from billing.payment.take_in import forget_events, look_after, take_in
from billing.transaction import all_accounts
from catalog.vocabulary.clock import Clock, from_ns

log = logging.getLogger(__name__)

_IDLE_S = 2.0
_FORGET_EVERY_S = 3600
# Stripe repeats an event for three days; who was away longer finds what happened by asking.
_LOOK_AFTER_EVERY_S = 24 * 3600


class Collector:
    """Sends what was handed over, and takes in what happened."""

    def __init__(self, pool: asyncpg.Pool, provider: PaymentProvider, clock: Clock) -> None:
        """Nothing runs before `run`."""
        self._pool = pool
        self._provider = provider
        self._clock = clock
        self._mode_is_kept = False
        self._look_ns = 0
        self._forget_ns = 0

    async def run(
        self, wait: Callable[[float], Awaitable[bool]], passing: tuple[type[Exception], ...]
    ) -> None:
        """Work until `wait(seconds)` says to stop; exceptions of `passing` are waited out. `ProviderRefused` as `turn` has it."""
        stop = False
        while not stop:
            pause_s = _IDLE_S
            try:
                if await self.turn():
                    pause_s = 0.0
            except passing as error:
                log.warning("collection waits for the database", extra={"reason": repr(error)})
            stop = await wait(pause_s)

    async def turn(self) -> bool:
        """One document, one batch of news, and what else is due; whether to go on at once. `ProviderRefused` wrong-mode, with
        nothing done, where the payers are known in the other mode than the key's."""
        if not self._mode_is_kept:
            async with all_accounts(self._pool) as connection:
                await keep_mode(connection, livemode=self._provider.livemode)
            self._mode_is_kept = True
        more = await self._send_one()
        more |= await take_in(self._pool, self._provider, self._clock)
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._look_ns:
            await look_after(self._pool, self._provider, self._clock)
            self._look_ns = now_ns + _LOOK_AFTER_EVERY_S * 1_000_000_000
        if now_ns >= self._forget_ns and not await forget_events(self._pool, self._clock):
            self._forget_ns = now_ns + _FORGET_EVERY_S * 1_000_000_000
        return more

    async def _send_one(self) -> bool:
        async with all_accounts(self._pool) as connection:
            task = await take_task(connection, from_ns(self._clock.now_ns()))
        if task is not None:
            await send(self._pool, self._provider, task, self._clock)
        return task is not None
