"""What a command is given: the installation, the clock and the operator, each used in one line."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import asyncpg
import msgspec

from catalog.transaction import Transaction
from catalog.vocabulary.clock import Clock, SystemClock, from_ns
from deploy.cli.options import options_named
from deploy.installation import acting, keeping_books, open_database, reading
from deploy.operator import local_operator
from deploy.settings import Settings, from_environment

T = TypeVar("T")


class By(msgspec.Struct, frozen=True):
    """Who changes something, and when."""

    actor: str
    now: datetime


class Session:
    """One command's view of the installation. Each method opens the database, does the work and closes it again."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Nothing is opened before it is needed."""
        self.settings = settings
        self.clock = clock

    @property
    def now(self) -> datetime:
        """The present moment, UTC."""
        return from_ns(self.clock.now_ns())

    def read(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `work` in a read-only transaction that sees all accounts."""

        async def run() -> T:
            async with reading(database) as transaction:
                return await work(transaction)

        with options_named(), open_database(self.settings.home, self.settings.database_url) as database:
            return asyncio.run(run())

    def act(self, work: Callable[[Transaction, By], Awaitable[T]]) -> T:
        """Run `work` as the local operator, all or nothing."""

        async def run() -> T:
            async with acting(database) as transaction:
                return await work(transaction, By(local_operator(), self.now))

        with options_named(), open_database(self.settings.home, self.settings.database_url) as database:
            return asyncio.run(run())

    def keep_books(self, work: Callable[[asyncpg.Pool], Awaitable[T]]) -> T:
        """Run `work` with billing's pool; there is a folder for journals, if only an empty one."""

        async def run() -> T:
            async with keeping_books(database) as pool:
                return await work(pool)

        with options_named(), open_database(self.settings.home, self.settings.database_url) as database:
            self.settings.home.make()
            return asyncio.run(run())


def session() -> Session:
    """The session of the environment that this command was started in."""
    return Session(from_environment(), SystemClock())
