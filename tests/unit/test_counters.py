"""Rates are exact: never above the policy, over any number of workers, and a worker's death changes nothing."""

import multiprocessing
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.stores.counters import SharedCounters

_S = 1_000_000_000


def test_a_whole_window_may_come_at_once_and_is_refilled_evenly(tmp_path: Path) -> None:
    counters = SharedCounters(tmp_path / "rates")
    first = [counters.take(b"k", 10, 5, _S) for _ in range(11)]
    assert [decision.allowed for decision in first] == [True] * 10 + [False]
    assert [decision.remaining for decision in first] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0]
    assert first[9].reset_s == 5
    assert first[10].retry_s == 1
    assert counters.take(b"k", 10, 5, _S + _S // 2).allowed
    assert not counters.take(b"k", 10, 5, _S + _S // 2).allowed
    assert sum(counters.take(b"k", 10, 5, 10 * _S).allowed for _ in range(20)) == 10


def test_refused_calls_do_not_extend_the_wait(tmp_path: Path) -> None:
    counters = SharedCounters(tmp_path / "rates")
    for _ in range(1000):
        counters.take(b"k", 2, 10, _S)
    assert counters.take(b"k", 2, 10, 6 * _S).allowed


def test_keys_do_not_share_their_counts(tmp_path: Path) -> None:
    counters = SharedCounters(tmp_path / "rates")
    for number in range(5000):
        assert counters.take(b"key-%d" % number, 1, 3600, _S).allowed
    assert not any(counters.take(b"key-%d" % number, 1, 3600, _S).allowed for number in range(5000))


@settings(max_examples=60)
@given(
    st.integers(1, 50),
    st.integers(1, 20),
    st.lists(st.integers(0, 2 * _S), min_size=1, max_size=200),
)
def test_admissions_follow_the_generic_cell_rate_algorithm(
    quantity: int, window_s: int, gaps: list[int]
) -> None:
    path = Path(f"/dev/shm/ordergate-test-{os.getpid()}")
    counters = SharedCounters(path)
    path.unlink()
    now, arrival, interval = _S, 0, window_s * _S // quantity
    for gap in gaps:
        now += gap
        expected = max(arrival, now) - now <= window_s * _S - interval
        assert counters.take(b"k", quantity, window_s, now).allowed == expected
        if expected:
            arrival = max(arrival, now) + interval
    counters.close()


def _hammer(path: Path, attempts: int, start: float, results: "multiprocessing.Queue[int]") -> None:
    counters = SharedCounters(path)
    while time.monotonic() < start:
        pass
    results.put(
        sum(counters.take(b"shared", 1000, 3600, time.monotonic_ns()).allowed for _ in range(attempts))
    )


def test_workers_together_admit_exactly_the_policy(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[int] = context.Queue()
    start = time.monotonic() + 1.5
    workers = [
        context.Process(target=_hammer, args=(tmp_path / "rates", 800, start, results)) for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    admitted = sum(results.get(timeout=30) for _ in workers)
    for worker in workers:
        worker.join()
    # 1,000 at once, and one more for each 3.6 seconds that the run took.
    assert 1000 <= admitted <= 1001 + (time.monotonic() - start) // 3.6


def _die_in_the_middle(path: Path) -> None:
    counters = SharedCounters(path)
    counters.take(b"k", 5, 3600, _S)
    dying = SimpleNamespace(unpack_from=lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    mock.patch("gateway.stores.counters._SLOT", dying).start()
    counters.take(b"k", 5, 3600, _S)


def test_a_worker_killed_while_it_counts_blocks_nobody(tmp_path: Path) -> None:
    path = tmp_path / "rates"
    worker = multiprocessing.get_context("spawn").Process(target=_die_in_the_middle, args=(path,))
    worker.start()
    worker.join()
    assert worker.exitcode == -signal.SIGKILL
    counters = SharedCounters(path)
    assert sum(counters.take(b"k", 5, 3600, _S).allowed for _ in range(10)) == 4


@pytest.mark.timed
def test_a_call_costs_microseconds(tmp_path: Path) -> None:
    counters = SharedCounters(tmp_path / "rates")
    begin = time.process_time()
    for _ in range(10_000):
        counters.take(b"k", 10**9, 1, time.monotonic_ns())
    assert (time.process_time() - begin) / 10_000 < 100e-6, "an order of magnitude above what is measured"


@pytest.mark.parametrize("quantity", [1, 3, 7, 999_999])
def test_remaining_never_promises_more_than_is_admitted(tmp_path: Path, quantity: int) -> None:
    counters = SharedCounters(tmp_path / "rates")
    now = _S
    decision = counters.take(b"k", quantity, 7, now)
    promised = min(decision.remaining, 2000)
    assert sum(counters.take(b"k", quantity, 7, now).allowed for _ in range(promised)) == promised
