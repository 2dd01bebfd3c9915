"""A deadline ends what waits, costs nothing where nothing waits, and is otherwise not noticed."""

import asyncio

import pytest

from gateway.deadline import within


async def test_an_answer_from_memory_arms_no_timer() -> None:
    async def answer() -> int:
        return 7

    assert await within(0.0, answer()) == 7


async def test_what_waits_gets_what_it_waited_for_in_order() -> None:
    async def steps() -> list[str]:
        seen = []
        for name in ("a", "b", "c"):
            future = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(0.001, future.set_result, name)
            seen.append(await future)
        await asyncio.sleep(0)
        return seen

    assert await within(5, steps()) == ["a", "b", "c"]


async def test_what_waits_too_long_is_cancelled_and_can_clean_up() -> None:
    cleaned = []

    async def slow() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            cleaned.append(True)

    with pytest.raises(TimeoutError):
        await within(0.01, slow())
    assert cleaned == [True]


async def test_errors_come_through_before_and_after_the_first_wait() -> None:
    async def fails(wait: bool) -> None:
        if wait:
            await asyncio.sleep(0)
        raise KeyError("x")

    for wait in (False, True):
        with pytest.raises(KeyError):
            await within(1, fails(wait))


async def test_a_failure_of_what_is_waited_for_reaches_the_coroutine() -> None:
    async def waits() -> str:
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_exception, OSError("gone"))
        try:
            await future
        except OSError:
            return "handled"
        return "missed"

    assert await within(1, waits()) == "handled"
