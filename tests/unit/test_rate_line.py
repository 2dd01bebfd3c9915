"""A line is rounded once, keeps its precise amount, and shows how it came about."""

from decimal import Decimal
from fractions import Fraction

import pytest

from billing.rate import (
    Attainment,
    Buckets,
    CallCounts,
    CapacityPeaks,
    Cell,
    Cells,
    Events,
    Improvement,
    Rating,
    Usage,
    UsageError,
    rate,
    rate_difference,
    rate_part,
)
from billing.rate.usage import Measured
from catalog.plan import parse_price

D = Decimal
TIERS = [{"up_to": "5", "unit_price": "1", "flat_fee": "100"}, {"up_to": None, "unit_price": "2"}]


@pytest.mark.parametrize(
    ("currency", "amount"), [("JPY", "1"), ("CNY", "1.24"), ("KWD", "1.235"), ("UYW", "1.2350")]
)
def test_a_line_is_rounded_half_up_to_the_minor_unit_of_its_currency(currency: str, amount: str) -> None:
    rating = rate(parse_price("per_unit", {"unit_price": "1.235"}), Usage(D(1)), currency)
    assert (str(rating.amount), str(rating.precise)) == (amount, "1.235")


def test_an_unknown_currency_is_not_given_two_decimals() -> None:
    with pytest.raises(KeyError):
        rate(parse_price("flat", {"amount": "1"}), Usage(D(1)), "XXQ")


def test_a_third_is_exact_until_the_line_ends() -> None:
    price = parse_price("per_unit", {"unit_price": "0.01", "divide_by": "3"})
    assert rate(price, Usage(D("1.5")), "USD").amount == D("0.01")
    precise = rate(price, Usage(D(1)), "USD").precise
    assert str(precise) == "0." + "00" + "3" * 28


def test_a_tie_just_missed_is_not_rounded_up_by_a_rounded_intermediate() -> None:
    price = parse_price(
        "per_unit", {"unit_price": "0.01499999999999999999", "discount_pct": "66.66666666666666666666"}
    )
    rating = rate(price, Usage(D(1)), "USD")
    assert rating.amount == D("0.00")
    assert rating.precise < D("0.005")


def test_the_line_between_two_states_is_the_difference_of_the_rounded_amounts() -> None:
    price = parse_price("per_unit", {"unit_price": "0.001"})
    lines = [rate_difference(price, Usage(D(n)), Usage(D(n + 1)), "USD") for n in range(12)]
    assert [str(line.amount) for line in lines] == ["0.00"] * 4 + ["0.01"] + ["0.00"] * 7
    assert {line.precise for line in lines} == {D("0.001")}


def test_a_correction_below_what_was_billed_makes_a_negative_line() -> None:
    line = rate_difference(parse_price("graduated", {"tiers": TIERS}), Usage(D(7)), Usage(D(4)), "USD")
    assert str(line.amount) == "-5.00"
    assert [(step.step, step.amount) for step in line.trace] == [("price", "104"), ("billed_before", "-109")]


def test_the_trace_names_every_adjustment_in_the_order_of_application() -> None:
    fields = {
        "unit_price": "1",
        "success_factor": [{"min_success_rate": "90", "factor_pct": "50"}, {"min_success_rate": "0", "factor_pct": "0"}],
        "discount_pct": "10",
        "discount_amount": "5",
        "minimum": "45",
        "maximum": "60",
    }  # fmt: skip
    price = parse_price("per_unit", fields)
    rating = rate(price, Usage(D(100), CallCounts(D(100), D(95))), "USD")
    assert [(step.step, step.amount) for step in rating.trace] == [
        ("price", "100"),
        ("success_factor", "-50"),
        ("discount_pct", "-5"),
        ("discount_amount", "-5"),
        ("minimum", "5"),
    ]
    assert rating.amount == D(45)


def test_the_trace_shows_what_a_cap_took_away() -> None:
    rating = rate(parse_price("per_unit", {"unit_price": "1", "maximum": "20"}), Usage(D(30)), "USD")
    assert [(step.step, step.amount) for step in rating.trace] == [("price", "30"), ("maximum", "-10")]


def test_declined_calls_can_be_billed_while_the_rate_counts_them_as_successes() -> None:
    price = parse_price(
        "success_tiered",
        {
            "tiers": [
                {"min_success_rate": "99", "unit_price": "2"},
                {"min_success_rate": "0", "unit_price": "1"},
            ]
        },
    )
    billed_only_ok = Usage(D(60), CallCounts(D(100), D(99)))
    assert rate(price, billed_only_ok, "USD").amount == D("120.00")


@pytest.mark.parametrize("counts", [("5", "6", "0"), ("5", "5", "1"), ("-1", "0", "0"), ("5", "-1", "0")])
def test_counts_that_no_period_can_have_are_refused(counts: tuple[str, str, str]) -> None:
    with pytest.raises(ValueError, match=r"counts|successes"):
        CallCounts(D(counts[0]), D(counts[1]), D(counts[2]))


SHAPES: dict[str, Measured] = {
    "buckets": Buckets((D(1),)),
    "capacity": CapacityPeaks({"a": D(1)}),
    "cells": Cells((Cell({"zone": "1"}, D(1)),)),
    "improvement": Improvement(D(2), D(1), D(1)),
    "attainment": Attainment(D(99), D(1)),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("model", "fields", "takes"),
    [
        ("per_unit", {"unit_price": "1"}, ()),
        ("percentage", {"rate_pct": "1"}, ()),
        ("outcome", {"rate_pct": "1"}, ("improvement",)),
        ("bucketed", {"model": "per_unit", "price": {"unit_price": "1"}}, ("buckets",)),
        ("capacity", {"tiers": [{"max": None, "price": "1"}]}, ("capacity",)),
        ("matrix", {"dimensions": ["zone"], "cells": [], "default": "1"}, ("cells",)),
        ("sla_credit", {"schedule": [{"at_least": "0", "credit_pct": "10"}]}, ("attainment",)),
        ("flat", {"amount": "1"}, tuple(SHAPES)),
    ],
)
def test_a_model_takes_the_shape_it_needs_and_refuses_the_others(
    shape: str, model: str, fields: dict[str, object], takes: tuple[str, ...]
) -> None:
    price = parse_price(model, fields)
    if shape in takes:
        assert isinstance(rate(price, Usage(SHAPES[shape]), "USD"), Rating)
    else:
        with pytest.raises(UsageError):
            rate(price, Usage(SHAPES[shape]), "USD")


@pytest.mark.parametrize(
    ("model", "fields", "measured"),
    [
        ("per_unit", {"unit_price": "1"}, D(-1)),
        ("percentage", {"rate_pct": "1"}, Events((D(5), D(-1)))),
        ("capacity", {"tiers": [{"max": None, "price": "1"}]}, CapacityPeaks({"a": D(-1)})),
        (
            "matrix",
            {"dimensions": ["zone"], "cells": [], "default": "1"},
            Cells((Cell({"zone": "1"}, D(-1)),)),
        ),
        ("sla_credit", {"schedule": [{"at_least": "0", "credit_pct": "10"}]}, Attainment(D(99), D(-1))),
        ("bucketed", {"model": "per_unit", "price": {"unit_price": "1"}}, Buckets((D(1), D(-1)))),
    ],
)
def test_no_cumulative_usage_is_below_zero(model: str, fields: dict[str, object], measured: Measured) -> None:
    with pytest.raises(UsageError, match="below zero"):
        rate(parse_price(model, fields), Usage(measured), "USD")


CAPACITY = parse_price(
    "capacity",
    {
        "tiers": [
            {"max": {"a": "5", "b": "9"}, "price": "30"},
            {"max": {"a": "8", "b": "9"}, "price": "60"},
            {"max": None, "price": "90"},
        ]
    },
)


@pytest.mark.parametrize(
    ("peaks", "fee", "needed"),
    [
        ({"a": D(5), "b": D(9)}, "10", [("a", "5", "5"), ("b", "9", "9")]),
        ({"b": D(0), "a": D("5.001")}, "20", [("a", "5.001", "8")]),
        ({"a": D(8), "b": D(10)}, "30", [("b", "10", None)]),
        ({"a": D(9), "b": D(10)}, "30", [("a", "9", None), ("b", "10", None)]),
    ],
)
def test_a_capacity_says_what_needed_its_tier_and_costs_the_days_that_it_held_for(
    peaks: dict[str, Decimal], fee: str, needed: list[tuple[str, str, str | None]]
) -> None:
    rating = rate_part(CAPACITY, Usage(CapacityPeaks(peaks)), "CNY", share=Fraction(1, 3))
    assert (rating.amount, rating.precise) == (D(fee).quantize(D("0.01")), D(fee))
    *said, priced = rating.trace
    assert [(one.unit, one.quantity, one.up_to) for one in said] == needed
    assert {(one.step, one.amount) for one in said} == {("capacity", "0")}
    assert (priced.step, priced.amount, priced.unit) == ("price", fee, None)


def test_a_part_without_usage_is_the_lowest_tier_of_a_used_period_and_nothing_of_another() -> None:
    def part(*, used: bool) -> Decimal:
        usage = Usage(CapacityPeaks({"a": D(0), "b": D(0)}, period_used=used))
        return rate_part(CAPACITY, usage, "CNY", share=Fraction(1, 3)).amount

    assert (part(used=True), part(used=False)) == (D("10.00"), D("0.00"))


def test_equal_peaks_are_one_usage_in_whatever_order_they_name_their_units() -> None:
    one, other = CapacityPeaks({"a": D(1), "b": D(2)}), CapacityPeaks({"b": D(2), "a": D(1)})
    assert {one, other} == {one}
    assert CapacityPeaks(one.units, period_used=True) != one
