"""The flow's steps taken by a command, where no billing process runs to take them."""

from collections.abc import Awaitable, Callable

import asyncpg

from billing.flow import Flow
from deploy.cli.session import Session


async def catch_up(current: Session, pool: asyncpg.Pool) -> None:
    """Ship, roll up and rate all there is, and settle the leases of dead workers.

    Where the product runs, its billing process ships and rolls up all the time; rating, which it does in longer rounds,
    is done here at once: two raters never collide.
    """
    flow = Flow(pool, current.settings.home.journals, None, current.clock)
    try:
        if current.settings.home.running() is None:
            await _take_what_is_left(flow)
        while (await flow.rate()).more:
            pass
    finally:
        flow.close()


def driver(current: Session, pool: asyncpg.Pool) -> Callable[[], Awaitable[None]]:
    """What takes all there is through the flow whenever it is called, and leaves that to the product where it runs."""

    async def drive() -> None:
        if current.settings.home.running() is None:
            flow = Flow(pool, current.settings.home.journals, None, current.clock)
            try:
                await _take_what_is_left(flow)
            finally:
                flow.close()

    return drive


async def _take_what_is_left(flow: Flow) -> None:
    await flow.prepare_days()
    while (await flow.ship()).more:
        pass
    while (await flow.roll_up()).more:
        pass
    # Dead workers' leases too: a month is not closed while credit of it is held, and nobody else would ever settle them.
    await flow.settle_leases()
