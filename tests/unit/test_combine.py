"""Calls that meet run together, nobody waits for company, and nobody suffers for a neighbour."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.combine import Combiner, LineFull, WaitedTooLong

SOON_S = 5.0


class Runs:
    """What ran together, in order. While `held`, a batch that has begun waits; items named `bad…` fail."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.released = asyncio.Event()
        self.released.set()

    async def __call__(self, items: Sequence[str]) -> Sequence[str]:
        self.batches.append(list(items))
        if "hangs" in items:
            await asyncio.Event().wait()
        await self.released.wait()
        if bad := [item for item in items if item.startswith("bad")]:
            raise ValueError(bad[0])
        return [item.upper() for item in items]

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Batches that have begun wait until the end of the block."""
        self.released.clear()
        yield
        await settled()
        self.released.set()


async def settled() -> None:
    """Everything that can go on has gone on."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def runs() -> Runs:
    return Runs()


def combiner(runs: Runs, batch_max: int = 4, waiting_max: int = 100) -> Combiner[str, str]:
    return Combiner(runs, batch_max=batch_max, waiting_max=waiting_max)


def begin(work: Awaitable[str]) -> "asyncio.Task[str]":
    async def run() -> str:
        return await work

    return asyncio.create_task(run())


async def test_who_finds_the_line_idle_goes_at_once_and_who_comes_meanwhile_is_the_next_batch(
    runs: Runs,
) -> None:
    combine = combiner(runs)
    async with runs.held():
        first = begin(combine.result_of("a", "line", SOON_S))
        await settled()
        assert runs.batches == [["a"]]
        later = [begin(combine.result_of(item, "line", SOON_S)) for item in "bcdefg"]
    assert [await task for task in (first, *later)] == list("ABCDEFG")
    assert runs.batches == [["a"], ["b", "c", "d", "e"], ["f", "g"]]


async def test_lines_do_not_wait_for_each_other(runs: Runs) -> None:
    combine = combiner(runs)
    begin(combine.result_of("hangs", "hot", SOON_S))
    await settled()
    waiting = begin(combine.result_of("a", "hot", SOON_S))
    assert await combine.result_of("b", "cold", SOON_S) == "B"
    assert not waiting.done()


async def test_one_that_fails_fails_alone(runs: Runs) -> None:
    combine = combiner(runs)
    async with runs.held():
        first = begin(combine.result_of("a", "line", SOON_S))
        await settled()
        tasks = [begin(combine.result_of(item, "line", SOON_S)) for item in ("b", "bad", "c")]
    assert await first == "A"
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert ends[0] == "B" and ends[2] == "C"
    assert isinstance(ends[1], ValueError)
    assert runs.batches == [["a"], ["b", "bad", "c"], ["b"], ["bad"], ["c"]]


async def test_one_that_hangs_when_it_runs_alone_holds_up_neither_its_neighbours_nor_the_next_batch(
    runs: Runs,
) -> None:
    async def run(items: Sequence[str]) -> Sequence[str]:
        if len(items) > 1 and "hangs" in items:
            raise TimeoutError
        return await runs(items)

    combine = Combiner(run, batch_max=4)
    async with runs.held():
        first = begin(combine.result_of("a", "line", SOON_S))
        await settled()
        hanging = begin(combine.result_of("hangs", "line", SOON_S))
        neighbour = begin(combine.result_of("b", "line", SOON_S))
    assert [await first, await neighbour] == ["A", "B"]
    assert await combine.result_of("next", "line", SOON_S) == "NEXT"
    assert not hanging.done()


async def test_one_that_has_waited_too_long_is_not_run_and_one_in_a_batch_is_waited_for(runs: Runs) -> None:
    combine = combiner(runs)
    async with runs.held():
        in_flight = begin(combine.result_of("a", "line", 0.0))
        await settled()
        with pytest.raises(WaitedTooLong):
            await combine.result_of("late", "line", 0.01)
    assert await in_flight == "A"
    assert await combine.result_of("b", "line", SOON_S) == "B"
    assert runs.batches == [["a"], ["b"]]


async def test_a_line_that_is_full_turns_away_at_once_and_others_are_not_full(runs: Runs) -> None:
    combine = combiner(runs, waiting_max=2)
    async with runs.held():
        tasks = [begin(combine.result_of("a", "line", SOON_S))]
        await settled()
        tasks += [begin(combine.result_of(item, "line", SOON_S)) for item in "bc"]
        await settled()
        with pytest.raises(LineFull):
            await combine.result_of("d", "line", SOON_S)
        tasks.append(begin(combine.result_of("e", "other line", SOON_S)))
    assert [await task for task in tasks] == list("ABCE")


async def test_what_is_left_of_failed_batches_counts_against_the_bound(runs: Runs) -> None:
    alone = asyncio.Event()

    async def run(items: Sequence[str]) -> Sequence[str]:
        if len(items) > 1:
            raise ValueError
        if items != ["a"]:
            await alone.wait()
        return await runs(items)

    combine = Combiner(run, batch_max=4, waiting_max=4)
    async with runs.held():
        first = begin(combine.result_of("a", "line", SOON_S))
        await settled()
        tasks = [begin(combine.result_of(item, "line", SOON_S)) for item in "bcde"]
    assert await first == "A"
    await settled()
    with pytest.raises(LineFull):
        await combine.result_of("f", "line", SOON_S)
    alone.set()
    assert [await task for task in tasks] == list("BCDE")
    assert await combine.result_of("g", "line", SOON_S) == "G"


async def test_a_caller_that_goes_away_takes_nobody_along(runs: Runs) -> None:
    combine = combiner(runs)
    async with runs.held():
        leader = begin(combine.result_of("a", "line", SOON_S))
        await settled()
        tasks = [begin(combine.result_of(item, "line", SOON_S)) for item in "bcd"]
        await settled()
        leader.cancel()
        tasks[1].cancel()
    assert [await tasks[0], await tasks[2]] == ["B", "D"]
    assert runs.batches == [["a"], ["b", "d"]], "who left before its batch began was not run"
    assert leader.cancelled() and tasks[1].cancelled()


async def test_an_idle_line_is_forgotten(runs: Runs) -> None:
    combine = combiner(runs)
    for number in range(50):
        await combine.result_of("a", f"line {number}", SOON_S)
    with pytest.raises(ValueError, match="bad"):
        await combine.result_of("bad", "line", SOON_S)
    await settled()
    assert not combine._lines and not combine._tasks


_ITEMS = st.tuples(st.sampled_from("xyz"), st.sampled_from(["good", "bad"]), st.integers(0, 3))


@given(arrivals=st.lists(_ITEMS, max_size=30), batch_max=st.integers(1, 5))
@settings(deadline=None)
def test_whatever_arrives_when_each_gets_its_own_end_and_one_batch_of_a_line_runs_at_a_time(
    arrivals: list[tuple[str, str, int]], batch_max: int
) -> None:
    async def scenario() -> None:
        done: list[tuple[str, int, str]] = []
        together: dict[str, int] = dict.fromkeys("xyz", 0)

        async def run(items: Sequence[tuple[str, int, str]]) -> Sequence[int]:
            assert len({line for line, _, _ in items}) == 1 and len(items) <= batch_max
            line, several = items[0][0], len(items) > 1
            together[line] += several
            assert together[line] <= 1
            await asyncio.sleep(0)
            together[line] -= several
            if any(kind == "bad" for _, _, kind in items):
                raise ValueError
            done.extend(items)
            return [number for _, number, _ in items]

        combine = Combiner(run, batch_max=batch_max)
        tasks = []
        for number, (line, kind, pause) in enumerate(arrivals):
            tasks.append(asyncio.create_task(combine.result_of((line, number, kind), line, SOON_S)))
            for _ in range(pause):
                await asyncio.sleep(0)
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        for number, ((_, kind, _), end) in enumerate(zip(arrivals, ends, strict=True)):
            assert isinstance(end, ValueError) if kind == "bad" else end == number
        assert len(done) == len(set(done)) == sum(kind == "good" for _, kind, _ in arrivals)
        await settled()
        assert not combine._lines

    asyncio.run(scenario())
