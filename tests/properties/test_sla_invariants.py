"""The service level against slow models that count one by one in fractions."""

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from billing.sla.attainment import Share, budget_left_pct, credit_step, shown_pct, state_of
from billing.sla.availability import Ended, Window, availability
from billing.sla.burn import WINDOWS, burning
from billing.sla.credit import Credited, credit_amounts
from billing.sla.latency import bound_of, quantile_us, within
from catalog.sla import CreditStep, Objective

_DAY = datetime(2026, 9, 17, tzinfo=UTC)
_WINDOW = Window(_DAY, _DAY + timedelta(hours=2))
_latencies = st.lists(st.integers(0, 130_000_000), max_size=60)
_cents = st.integers(0, 10**7).map(lambda cents: Decimal(cents) / 100)


def _counts(latencies: list[int]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for latency in latencies:
        counts[bound_of(latency)] = counts.get(bound_of(latency), 0) + 1
    return counts


@given(_latencies, _latencies)
def test_merged_counts_are_the_counts_of_the_union(mine: list[int], theirs: list[int]) -> None:
    merged = _counts(mine)
    for bound, calls in _counts(theirs).items():
        merged[bound] = merged.get(bound, 0) + calls
    assert merged == _counts(mine + theirs)


@given(_latencies.filter(bool), st.fractions(Fraction(1, 100), Fraction(99, 100), max_denominator=1000))
def test_a_quantile_is_never_below_the_true_one_and_at_most_one_percent_above(
    latencies: list[int], quantile: Fraction
) -> None:
    true = sorted(latencies)[ceil(quantile * len(latencies)) - 1]
    found = quantile_us(_counts(latencies), quantile)
    assert found is not None
    assert true <= found <= true + true / 100


@given(_latencies, st.integers(1, 999), st.integers(0, 5))
def test_the_share_within_a_promise_of_three_digits_is_exact(
    latencies: list[int], digits: int, exponent: int
) -> None:
    promise = digits * 10**exponent
    assert within(_counts(latencies), promise) == Share(
        Fraction(sum(latency <= promise for latency in latencies)), len(latencies)
    )


_offsets = st.integers(-30, 150)


@given(
    st.dictionaries(_offsets, st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=12),
    st.sets(_offsets, max_size=40),
    st.lists(st.tuples(st.integers(-4, 24), st.integers(1, 8)), max_size=3),
)
def test_availability_is_the_average_of_intervals_counted_one_by_one(
    requests: dict[int, tuple[int, int]], missed: set[int], windows: list[tuple[int, int]]
) -> None:
    def at(minutes: int) -> datetime:
        return _DAY + timedelta(minutes=minutes)

    ended = {at(minute // 5 * 5): Ended(good + bad, bad) for minute, (good, bad) in requests.items()}
    maintenance = [Window(at(5 * start), at(5 * (start + length))) for start, length in windows]
    slow = []
    for interval in range(24):
        start = at(5 * interval)
        if any(one.starts_at <= start < one.ends_at for one in maintenance):
            continue
        one = ended.get(start)
        requests_good = 1 - Fraction(one.failures, one.judged) if one else Fraction(1)
        probe_good = 1 - Fraction(sum(5 * interval + minute in missed for minute in range(5)), 5)
        slow.append(min(requests_good, probe_good))
    found = availability(_WINDOW, ended, {at(minute): Fraction(1) for minute in missed}, maintenance)
    assert found == Share(sum(slow, Fraction(0)), len(slow))


_STEPS = (
    CreditStep("99.95", "0"),
    CreditStep("99", "10"),
    CreditStep("95", "25"),
    CreditStep("0", "100"),
)
_UP = Objective("up", "availability", at_least="99.95")
_shares = st.tuples(st.integers(0, 9000), st.integers(1, 9000)).filter(lambda pair: pair[0] <= pair[1])


@given(_shares, _shares)
def test_the_worse_the_attainment_the_larger_the_credit(
    first: tuple[int, int], second: tuple[int, int]
) -> None:
    def credit(pair: tuple[int, int]) -> Decimal:
        step = credit_step(_UP, _STEPS, Share(Fraction(pair[0]), pair[1]))
        return Decimal(step.credit_pct) if step else Decimal(0)

    worse, better = sorted((first, second), key=lambda pair: Fraction(*pair))
    assert credit(worse) >= credit(better)


@given(_shares)
def test_what_is_met_costs_nothing_and_what_is_missed_has_no_budget_left(pair: tuple[int, int]) -> None:
    share = Share(Fraction(pair[0]), pair[1])
    left = budget_left_pct(_UP, share)
    assert left is not None
    assert (state_of(_UP, share) == "met") == (left >= 0) == (credit_step(_UP, _STEPS, share) is None)


def test_a_strict_promise_that_is_reached_exactly_is_missed_and_credited() -> None:
    papers = Objective("papers", "outcome_rate", at_most="0.0003", outcome="returned")
    steps = (CreditStep("99.97", "0"), CreditStep("99.9", "10"), CreditStep("0", "25"))
    assert papers.sample_min == 3334
    exactly = Share(Fraction(9997), 10_000)
    assert state_of(papers, exactly) == "missed"
    assert credit_step(papers, steps, exactly) == steps[1]
    assert state_of(papers, Share(Fraction(3332), 3333)) == "unjudged"
    assert state_of(papers, Share(Fraction(3333), 3334)) == "met"
    assert shown_pct(Fraction(9996999, 100_000)) == Decimal("99.9699")


@given(
    st.dictionaries(st.sampled_from(["s/a", "s/b", "s/c"]), _cents, max_size=3),
    st.lists(
        st.builds(
            Credited,
            st.uuids().map(str),
            st.sampled_from(["s/a", "s/b", "s/c", None]),
            st.integers(0, 100).map(Decimal),
        ),
        max_size=4,
    ),
    st.integers(0, 100).map(Decimal),
)
def test_credits_sum_to_one_rounding_and_never_pass_the_maximum(
    charges: dict[str, Decimal], credited: list[Credited], maximum: Decimal
) -> None:
    amounts = credit_amounts(charges, credited, maximum, "CNY")
    exact = Fraction(0)
    for operation, charge in charges.items():
        percent = min(
            sum((one.credit_pct for one in credited if one.operation in (None, operation)), Decimal(0)),
            maximum,
        )
        exact += Fraction(charge) * Fraction(percent) / 100
    rounded = (Decimal(exact.numerator) / exact.denominator).quantize(Decimal("0.01"), ROUND_HALF_UP)
    assert sum(amounts.values(), Decimal(0)) == rounded
    assert all(amount >= 0 for amount in amounts.values())
    assert sum(amounts.values(), Decimal(0)) <= sum(charges.values(), Decimal(0))


@given(st.lists(st.integers(0, 100), min_size=len(WINDOWS), max_size=len(WINDOWS)))
def test_an_alarm_needs_both_of_its_windows(failures: list[int]) -> None:
    objective = Objective("errors", "error_rate", at_most="0.01")
    shares = {
        window: Share(Fraction(100 - failed), 100) for window, failed in zip(WINDOWS, failures, strict=True)
    }
    rate = {window: 100 * (1 - share.good / share.total) for window, share in shares.items()}
    hour, minutes = timedelta(hours=1), timedelta(minutes=1)
    expected = {
        "fast": rate[hour] >= Fraction("14.4") and rate[5 * minutes] >= Fraction("14.4"),
        "steady": rate[6 * hour] >= 6 and rate[30 * minutes] >= 6,
        "slow": rate[72 * hour] >= 1 and rate[6 * hour] >= 1,
    }
    assert set(burning(objective, shares)) == {rule for rule, fires in expected.items() if fires}
