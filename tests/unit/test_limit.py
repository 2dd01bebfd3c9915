"""A limit that is accepted can be counted."""

from pathlib import Path

import pytest

from catalog.limit import Limit, Quota, Rate, rule_broken
from gateway.limit import RateLimited
from gateway.stores.counters import Decision, SharedCounters


@pytest.mark.parametrize(
    ("limit", "field"),
    [
        (Rate("application", 0, 1), "q"),
        (Rate("application", 1_000_001, 1), "q"),
        (Rate("account", 10**12, 86_400), "q"),
        (Rate("application", 1, 0), "w"),
        (Rate("application", 1, 86_401), "w"),
        (Quota("account", "month", 0, hard=False), "q"),
    ],
)
def test_a_limit_that_cannot_be_held_is_refused_by_field(limit: Limit, field: str) -> None:
    broken = rule_broken(limit)
    assert broken is not None
    assert broken[0] == field


@pytest.mark.parametrize(
    ("quantity", "window_s"), [(1, 1), (1, 86_400), (1_000_000, 1), (86_400_000_000, 86_400)]
)
def test_the_smallest_and_the_largest_rates_are_counted(tmp_path: Path, quantity: int, window_s: int) -> None:
    assert rule_broken(Rate("application", quantity, window_s)) is None
    counters = SharedCounters(tmp_path / "rates")
    first = counters.take(b"k", quantity, window_s, 1_000_000_000)
    assert (first.allowed, first.remaining) == (True, quantity - 1)
    counters.close()


def test_a_refusal_says_what_the_policy_means_a_burst_that_is_refilled_evenly() -> None:
    refused = RateLimited(Rate("application", 200, 60), Decision(False, 0, 60, 1))
    assert refused.detail == (
        "The burst of 200 calls for each application and operation is used up; it refills evenly at 200 calls in 60 s. "
        "The next call fits in 1 s."
    )
    assert refused.retry_after_s == 1
    assert refused.extra["limit"] == {
        "per": "application",
        "calls": 200,
        "window_s": 60,
        "remaining": 0,
        "needs": 1,
        "retry_after_s": 1,
        "resets_in_s": 60,
    }
