"""Calls that meet become one: while a batch is in flight, what arrives for the same line waits and is the next batch.

This is group commit, for transactions. Nothing is held up to gather company: who finds the line idle goes at once and
alone. A line is whatever must not be mixed; lines do not wait for each other.
"""

import asyncio
import logging
from asyncio import Future
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from itertools import islice
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

log = logging.getLogger(__name__)

WAITING_MAX = 512
# Of the connections that all lines share, so many at most run what was left of one line's failed batches.
_ALONE_MAX = 4


class LineFull(Exception):
    """So many wait already that this one is better told to come back. It was not run."""


class WaitedTooLong(Exception):
    """The time of this one was up before its batch began. It was not run."""


class _Line(Generic[Item, Result]):
    """Who waits, in order of arrival; how many of failed batches have yet to end; whether a batch is in flight."""

    def __init__(self) -> None:
        self.waiting: dict[Future[Result], Item] = {}
        self.alone = 0
        self.alone_gate = asyncio.Semaphore(_ALONE_MAX)
        self.is_served = False


class Combiner(Generic[Item, Result]):
    """Runs items in batches, one batch of a line at a time.

    `run` answers a result for each item, in order, or raises and has then done nothing. Of several items none may
    suffer for another, so a batch that raised is run again with each item alone, beside the line's next batches: an
    item that fails or hangs holds nobody up. A batch has its own task, so a caller that is cancelled takes nobody along.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        batch_max: int,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        """At most `batch_max` items run together; of a line at most `waiting_max` wait."""
        self._run = run
        self._batch_max = batch_max
        self._waiting_max = waiting_max
        self._lines: dict[Hashable, _Line[Item, Result]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def result_of(self, item: Item, line_key: Hashable, within_s: float) -> Result:
        """The item's result, or what `run` raised for it alone.

        `LineFull`, or `WaitedTooLong` after `within_s`. One that is in a batch by then is waited for: what becomes of
        it is decided there.
        """
        line = self._lines.get(line_key)
        if line is None:
            line = self._lines[line_key] = _Line()
        if len(line.waiting) + line.alone >= self._waiting_max:
            raise LineFull
        loop = asyncio.get_running_loop()
        turn: Future[Result] = loop.create_future()
        line.waiting[turn] = item
        if not line.is_served:
            line.is_served = True
            self._begin(self._serve(line_key, line))
            return await turn
        timer = loop.call_later(within_s, _give_up, line, turn)
        try:
            return await turn
        finally:
            timer.cancel()

    async def _serve(self, line_key: Hashable, line: _Line[Item, Result]) -> None:
        """Run batch after batch until nobody waits."""
        while line.waiting:
            batch = dict(islice(line.waiting.items(), self._batch_max))
            for turn in batch:
                del line.waiting[turn]
            # Who was cancelled before its batch began is left out, as if it had never come.
            if batch := {turn: item for turn, item in batch.items() if not turn.done()}:
                await self._run_batch(line_key, line, batch)
        line.is_served = False
        self._close_if_idle(line_key, line)

    async def _run_batch(
        self, line_key: Hashable, line: _Line[Item, Result], batch: dict[Future[Result], Item]
    ) -> None:
        try:
            results = await self._run(list(batch.values()))
        except Exception as error:  # noqa: BLE001 - it is raised again, to each caller whose own fault it is
            if len(batch) == 1:
                for turn in batch:
                    _fail(turn, error)
                return
            log.warning(
                "calls that ran together failed, and each runs alone",
                extra={"calls": len(batch), "reason": type(error).__name__},
            )
            line.alone += len(batch)
            for turn, item in batch.items():
                self._begin(self._run_alone(line_key, line, turn, item))
        else:
            for turn, result in zip(batch, results, strict=True):
                if not turn.done():
                    turn.set_result(result)

    async def _run_alone(
        self, line_key: Hashable, line: _Line[Item, Result], turn: Future[Result], item: Item
    ) -> None:
        async with line.alone_gate:
            if not turn.done():
                await self._run_batch(line_key, line, {turn: item})
        line.alone -= 1
        self._close_if_idle(line_key, line)

    def _close_if_idle(self, line_key: Hashable, line: _Line[Item, Result]) -> None:
        if not line.is_served and not line.alone:
            del self._lines[line_key]

    def _begin(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _give_up(line: _Line[Item, Result], turn: Future[Result]) -> None:
    """The time of one that still waits is up."""
    if line.waiting.pop(turn, None) is not None:
        _fail(turn, WaitedTooLong())


def _fail(turn: Future[Result], error: Exception) -> None:
    if not turn.done():
        turn.set_exception(error)
