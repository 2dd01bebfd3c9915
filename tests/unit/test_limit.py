"""A limit that is accepted can be counted."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from billing.allowance import Kind, Standing
from catalog.limit import Limit, Quota, Rate, rule_broken
from catalog.vocabulary.problem import Problem
from gateway.control.contracts.arithmetic import ARITHMETIC_SCHEMAS
from gateway.control.contracts.examples import example_of
from gateway.limit import Decision, RateLimited
from gateway.refuse import problem_body
from gateway.stores.counters import SharedCounters
from gateway.stores.exhausted import exhausted, unbounded
from gateway.stores.lease_pool import LimitTerms


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


def _terms(kind: Kind, subject: str, unit: str, counts: str = "") -> LimitTerms:
    return LimitTerms(
        kind=kind,
        account_id="acct",
        environment="live",
        subject=subject,
        period="month",
        timezone="Asia/Shanghai",
        unit=unit,
        limit=Decimal(0),
        counts=counts,
    )


_MONEY = Standing(Decimal("40.00"), Decimal("39.965"), Decimal(0))
_RESETS_AT = datetime(2026, 11, 30, 16, tzinfo=UTC)
_NOW = _RESETS_AT - timedelta(seconds=90, microseconds=1)
REFUSALS = (
    RateLimited(Rate("application", 200, 1), Decision(False, 0, 1, 1)),
    exhausted(
        _terms("quota", "stock/reserve month", "calls", "stock/reserve"),
        Standing(Decimal(5000), Decimal(5000), Decimal(0)),
        Decimal(1),
        _RESETS_AT,
        _NOW,
    ),
    exhausted(_terms("budget", "budget_5fw2qzjlx3tq6n4a", "CNY"), _MONEY, Decimal("0.055"), _RESETS_AT, _NOW),
    exhausted(_terms("credit", "", "CNY"), _MONEY, Decimal("0.055"), _RESETS_AT, _NOW),
    unbounded(_terms("credit", "", "CNY")),
)


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.type.name)
def test_the_contract_shows_each_refusal_word_for_word(refusal: Problem) -> None:
    document = msgspec.json.decode(problem_body(refusal, ""))
    example = example_of(refusal.type.name)
    assert document | {"instance": example["instance"]} == example
    for member in refusal.extra:
        schema = ARITHMETIC_SCHEMAS["RateLimit" if member == "limit" else "Allowance"]
        assert set(schema["required"]) <= set(document[member]) <= set(schema["properties"])


def test_a_refusal_says_when_to_come_back_where_time_helps() -> None:
    assert {one.type.name: one.retry_after_s for one in REFUSALS} == {
        "rate-limited": 1,
        "quota-exhausted": 91,
        "budget-exhausted": None,
        "credit-exhausted": None,
        "charge-unbounded": None,
    }
