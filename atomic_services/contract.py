"""What an atomic service is: typed operations over a request and a context, free of HTTP and of prices."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import msgspec

from catalog.vocabulary.ids import Environment
from catalog.vocabulary.problem import Problem


class Transaction(Protocol):
    """The unit of work of a call, or of calls that run together. It can read and write; only the pipeline can commit it."""

    async def fetch(self, query: str, *args: object) -> list[Mapping[str, Any]]:
        """All rows of a query."""

    async def fetchrow(self, query: str, *args: object) -> Mapping[str, Any] | None:
        """The first row of a query, or None."""

    async def execute(self, query: str, *args: object) -> str:
        """Run a statement; returns PostgreSQL's command tag."""


class CallContext(msgspec.Struct, frozen=True):
    """Who calls, when, and the transaction of the call where the operation has an effect."""

    call_id: UUID
    environment: Environment
    account_id: str
    application_id: str
    occurred_at: datetime
    transaction: Transaction | None = None

    def unit_of_work(self) -> Transaction:
        """The call's transaction; the pipeline opens one for every operation marked `effect: transactional`."""
        if self.transaction is None:
            raise AssertionError("the passport marks this operation as having no effect")
        return self.transaction


class Operation(msgspec.Struct, frozen=True):
    """One thing that can be called: its request and reply types and the function that computes it.

    `run` returns the reply, or raises `BusinessRefusal` (the answer to a well-formed request is no) or
    `CallerFault` (input that only the service could judge), both from `catalog.vocabulary.problem`.

    `run_together` does the same for several calls of one account and environment, at least two, in the one transaction
    that their contexts share; calls that meet at one row then pay for one commit, not for one each. It answers, in
    their order, each call's reply, or the refusal that `run` would have raised as a value; a refused call has left
    no effect. Whatever it raises means that nothing may be kept: all is rolled back, and each call is run alone.
    """

    request: type[msgspec.Struct]
    reply: type[msgspec.Struct]
    run: Callable[[Any, CallContext], Coroutine[Any, Any, msgspec.Struct]]
    run_together: (
        Callable[
            [Sequence[Any], Sequence[CallContext]], Coroutine[Any, Any, Sequence[msgspec.Struct | Problem]]
        ]
        | None
    ) = None


class AtomicService(msgspec.Struct, frozen=True):
    """A capability of the catalogue.

    `prepare` loads reference data before the first call, so that no caller waits for it; `sweep` does what must
    happen without a call, such as expiry, in a transaction over all accounts. It does a part that stays small and
    answers whether more is due at once.
    """

    name: str
    operations: Mapping[str, Operation]
    prepare: Callable[[], None] | None = None
    sweep: Callable[[Transaction, datetime], Awaitable[bool]] | None = None
