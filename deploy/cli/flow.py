"""The flow's steps taken by a command, where no billing process runs to take them."""

import asyncpg

from billing.flow import Flow
from deploy.cli.session import Session


async def catch_up(current: Session, pool: asyncpg.Pool) -> None:
    """Ship, roll up and rate all there is, unless the product runs: then its billing process does so all the time."""
    home = current.settings.home
    if home.running() is not None:
        return
    flow = Flow(pool, home.journals, None, current.clock)
    try:
        await flow.prepare_days()
        while (await flow.ship()).more:
            pass
        while (await flow.roll_up()).more:
            pass
        await flow.rate()
    finally:
        flow.close()
