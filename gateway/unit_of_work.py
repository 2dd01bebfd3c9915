"""Where an effect, its usage row and its kept reply become durable together: the port; `stores/unit_of_work.py` is PostgreSQL's."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from atomic_services.contract import Transaction


class DatabaseAway(Exception):
    """The database cannot be reached, was lost before the commit or let nobody through: nothing of the call has happened."""


class UnitOfWork(Protocol):
    """An open transaction in the scope of one account. Services see only `connection`; only the pipeline commits."""

    @property
    def connection(self) -> Transaction:
        """Through which everything of the transaction is read and written."""

    async def start_over(self) -> None:
        """Take everything back, and begin anew: nothing is locked any more, and what others have committed is seen."""

    async def commit(self) -> None:
        """Make all of it durable. If the connection is lost here the outcome is unknown: `Problem` unavailable."""

    async def roll_back(self) -> bool:
        """Take everything back; False if the connection was lost, which takes it back as well."""


class UnitsOfWork(Protocol):
    """Where units of work are opened."""

    def begin(self, account_id: str) -> AbstractAsyncContextManager[UnitOfWork]:
        """A transaction that ends rolled back unless it is committed.

        `DatabaseAway` if there is none to be had, or if a statement of the block meets a connection that is lost or a
        lock that is held too long.
        """
