"""The flow's steps taken by a command, where no billing process runs to take them."""

import asyncpg

from billing.flow import Flow
from deploy.cli.session import Session


async def catch_up(current: Session, pool: asyncpg.Pool) -> None:
    """Ship, roll up and rate all there is.

    Where the product runs, its billing process ships and rolls up all the time; rating, which it does in longer rounds,
    is done here at once: two raters never collide.
    """
    home = current.settings.home
    flow = Flow(pool, home.journals, None, current.clock)
    try:
        if home.running() is None:
            await flow.prepare_days()
            while (await flow.ship()).more:
                pass
            while (await flow.roll_up()).more:
                pass
        while (await flow.rate()).more:
            pass
    finally:
        flow.close()
