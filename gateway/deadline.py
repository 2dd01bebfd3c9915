"""Run a coroutine under a deadline, at no cost where it never waits.

Arming and disarming a timer is a tenth of a whole call. An operation that answers from memory finishes in its first
step and no timer could have stopped it, so the timer is armed only once a coroutine has begun to wait.
"""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


async def within(seconds: float, coroutine: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result; TimeoutError if it still waits after `seconds`, with the coroutine cancelled."""
    try:
        waits_for = coroutine.send(None)
    except StopIteration as finished:
        result: T = finished.value
        return result
    async with asyncio.timeout(seconds):
        return await _Rest(coroutine, waits_for)


class _Rest(Generic[T]):
    """What is left of a coroutine after its first step: passes on what it waits for, and what comes back."""

    __slots__ = ("_coroutine", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, T], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, T]:
        waits_for = self._waits_for
        while True:
            try:
                try:
                    sent = yield waits_for
                except BaseException as error:  # noqa: BLE001 - cancellation too belongs to the coroutine
                    waits_for = self._coroutine.throw(error)
                else:
                    waits_for = self._coroutine.send(sent)
            except StopIteration as finished:
                result: T = finished.value
                return result
