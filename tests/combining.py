"""`stock/adjust` as an operation that runs together, with calls that wait, break or hang when a test says so.

Each call of a batch is the real operation behind a savepoint of its own: what `run_together` has to be like, and slow.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from atomic_services.contract import CallContext, Operation
from catalog.vocabulary.problem import BusinessRefusal, CallerFault, Problem
from tests.gateways import RunningGateway

OPERATION = "stock/adjust"


class Unencodable(msgspec.Struct):
    """A reply that no encoder takes."""

    value: object


class Adjusting:
    """What ran, and in which batches. A call is told what to do by its `reason`.

    `held` waits until `go` is set, `meanwhile` until what `meanwhile` does is done, `breaks` raises, `hangs` never
    ends, `unencodable` answers what cannot be sent.
    """

    def __init__(self, gateway: RunningGateway) -> None:
        """Takes the place of `stock/adjust` in the test's worker."""
        self.go = asyncio.Event()
        self.batches: list[int] = []
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        pipeline = gateway.gateway.pipeline
        self._own = pipeline._operations[OPERATION]
        mine = Operation(self._own.request, self._own.reply, self._run, self._run_together)
        pipeline._operations = {**pipeline._operations, OPERATION: mine}

    async def _run(self, request: Any, context: CallContext) -> msgspec.Struct:
        self.batches.append(1)
        return await self._one(request, context)

    async def _run_together(
        self, requests: Sequence[Any], contexts: Sequence[CallContext]
    ) -> Sequence[msgspec.Struct | Problem]:
        self.batches.append(len(requests))
        answers: list[msgspec.Struct | Problem] = []
        for request, context in zip(requests, contexts, strict=True):
            transaction = context.unit_of_work()
            await transaction.execute("SAVEPOINT one")
            try:
                answers.append(await self._one(request, context))
            except (BusinessRefusal, CallerFault) as refusal:
                await transaction.execute("ROLLBACK TO SAVEPOINT one")
                answers.append(refusal)
        return answers

    async def _one(self, request: Any, context: CallContext) -> msgspec.Struct:
        reply = await self._own.run(request, context)
        match request.reason:
            case "held":
                await self.go.wait()
            case "meanwhile":
                assert self.meanwhile is not None
                await self.meanwhile()
            case "hangs":
                await asyncio.Event().wait()
            case "breaks":
                raise ZeroDivisionError
            case "unencodable":
                return Unencodable(object())
        return reply


def adjustment(quantity: int = 1, reason: str = "count", sku: str = "A") -> dict[str, Any]:
    """A request body."""
    return {"sku": sku, "warehouse": "W1", "quantity": quantity, "reason": reason}
