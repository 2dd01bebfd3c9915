"""Rating against an independent slow model, and the laws that a bill must obey however its period was cut."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from billing.rate import Buckets, CallCounts, Events, Rating, Usage, rate, rate_difference
from catalog.plan import Price, parse_price, price_fields
from tests.properties.slow_rating import slow_amount, slow_minor_units, slow_percentage

PLACES = {"JPY": 0, "CNY": 2, "KWD": 3}
# What repeating decimals may differ by, each being kept to 30 places.
NEGLIGIBLE = Fraction(1, 10**25)


def decimals(most: int, places: int, least: int = 0) -> st.SearchStrategy[str]:
    """Decimal strings from `least` to `most`, both in units of the last place."""
    return st.integers(least, most).map(lambda n: f"{Decimal(n).scaleb(-places):f}")


MONEY = decimals(5_000_00, 2) | decimals(99_999, 6) | decimals(20, 0)
BOUNDS = st.sets(st.integers(1, 40), max_size=4).map(sorted)
CURRENCIES = st.sampled_from(sorted(PLACES))
QUANTITIES = st.integers(0, 60)


@st.composite
def tier_lists(draw: st.DrawFn) -> list[dict[str, Any]]:
    bounds = [*map(str, draw(BOUNDS)), None]
    return [{"up_to": bound, "unit_price": draw(MONEY), "flat_fee": draw(MONEY)} for bound in bounds]


@st.composite
def block_lists(draw: st.DrawFn) -> list[dict[str, Any]]:
    sizes = draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    counts = [st.integers(1, 4).map(str)] * (len(sizes) - 1) + [st.none() | st.integers(1, 4).map(str)]
    return [
        {"block_size": str(size), "max_blocks": draw(count), "block_price": draw(MONEY)}
        for size, count in zip(sizes, counts, strict=True)
    ]


TIERED = st.fixed_dictionaries(
    {"tiers": tier_lists()}, optional={"zero_usage_bills_first_tier_flat": st.booleans()}
)
CONVERSION = st.fixed_dictionaries(
    {},
    optional={
        "free_units": decimals(200, 1),
        "divide_by": decimals(90, 1, least=1),
        "round": st.sampled_from(["up", "down", "half_up", "none"]),
    },
)
WHOLE_CONVERSION = st.fixed_dictionaries({}, optional={"free_units": decimals(20, 0)})
DISCOUNTS = st.fixed_dictionaries(
    {}, optional={"discount_pct": decimals(100_00, 2), "discount_amount": MONEY}
)
PERIOD_BOUNDS = st.lists(MONEY, max_size=2).map(
    lambda found: dict(zip(("minimum", "maximum"), sorted(found, key=Decimal), strict=False))
)
MODELS: Mapping[str, st.SearchStrategy[dict[str, Any]]] = {
    "per_unit": st.fixed_dictionaries({"unit_price": MONEY}),
    "dynamic": st.fixed_dictionaries({"multiplier": MONEY}),
    "graduated": TIERED,
    "volume": TIERED,
    "package": st.fixed_dictionaries(
        {"package_size": decimals(90, 1, least=1), "package_price": MONEY},
        optional={"round": st.sampled_from(["up", "down"])},
    ),
    "block_graduated": st.fixed_dictionaries({"tiers": block_lists()}),
}


@st.composite
def terms(draw: st.DrawFn, *names: str) -> tuple[str, dict[str, Any]]:
    """A model and the fields of a price, with any modifiers. Unit-wise tiers keep whole units."""
    model = draw(st.sampled_from(names or tuple(MODELS)))
    before = WHOLE_CONVERSION if model in ("package", "graduated") else CONVERSION
    parts = (MODELS[model], before, DISCOUNTS, PERIOD_BOUNDS)
    return model, {name: value for part in parts for name, value in draw(part).items()}


def rated(price: Price, quantity: int, currency: str = "CNY") -> Rating:
    return rate(price, Usage(Decimal(quantity)), currency)


@settings(max_examples=300, deadline=None)
@given(terms(), QUANTITIES, CURRENCIES)
def test_every_amount_equals_the_slow_models(
    terms: tuple[str, dict[str, Any]], quantity: int, currency: str
) -> None:
    model, fields = terms
    rating = rated(parse_price(model, fields), quantity, currency)
    exact = slow_amount(model, fields, quantity)
    assert int(rating.amount.scaleb(PLACES[currency])) == slow_minor_units(exact, PLACES[currency])
    assert abs(Fraction(rating.precise) - exact) <= Fraction(1, 10**30)
    assert -rating.amount.as_tuple().exponent == PLACES[currency]  # type: ignore[operator]


@settings(max_examples=150, deadline=None)
@given(terms(), st.lists(QUANTITIES, min_size=2, max_size=6), CURRENCIES)
def test_lines_sum_to_one_rating_however_the_usage_arrived(
    terms: tuple[str, dict[str, Any]], seen: list[int], currency: str
) -> None:
    price = parse_price(*terms)
    states = [Usage(Decimal(quantity)) for quantity in [0, *seen]]
    lines = [rate_difference(price, before, after, currency) for before, after in pairwise(states)]
    lines.append(rate(price, states[0], currency))
    whole = rate(price, states[-1], currency)
    assert sum(Fraction(line.amount) for line in lines) == Fraction(whole.amount)
    assert abs(sum(Fraction(line.precise) for line in lines) - Fraction(whole.precise)) < NEGLIGIBLE


@settings(max_examples=150, deadline=None)
@given(terms("per_unit", "dynamic", "package", "block_graduated", "graduated"), QUANTITIES, QUANTITIES)
def test_more_usage_never_costs_less_except_by_volume(
    terms: tuple[str, dict[str, Any]], one: int, other: int
) -> None:
    model, fields = terms
    price = parse_price(
        model, {**fields, "zero_usage_bills_first_tier_flat": False} if model == "graduated" else fields
    )
    less, more = sorted((one, other))
    assert rated(price, less).amount <= rated(price, more).amount


@settings(max_examples=150, deadline=None)
@given(terms(), QUANTITIES)
def test_the_parts_of_a_line_sum_to_the_whole_and_each_follows_from_its_factors(
    terms: tuple[str, dict[str, Any]], quantity: int
) -> None:
    rating = rated(parse_price(*terms), quantity)
    parts = sum((Fraction(step.amount) for step in rating.trace), Fraction(0))
    assert abs(parts - Fraction(rating.precise)) < NEGLIGIBLE
    for step in rating.trace:
        if step.step == "price":
            product = Fraction(step.quantity) * Fraction(step.unit_price) + Fraction(step.flat_fee)
            assert abs(product - Fraction(step.amount)) < NEGLIGIBLE


@settings(max_examples=100, deadline=None)
@given(terms(), QUANTITIES)
def test_the_bounds_of_a_period_hold(terms: tuple[str, dict[str, Any]], quantity: int) -> None:
    model, fields = terms
    precise = rated(parse_price(model, fields), quantity).precise
    assert precise >= Decimal(fields.get("minimum", "0"))
    assert precise <= Decimal(fields.get("maximum", "Infinity"))


@settings(max_examples=100, deadline=None)
@given(terms())
def test_a_stored_price_is_the_published_one(terms: tuple[str, dict[str, Any]]) -> None:
    model, fields = terms
    price = parse_price(model, fields)
    assert parse_price(model, price_fields(price)) == price


PERCENTAGES = st.fixed_dictionaries(
    {"rate_pct": decimals(100_00, 2)},
    optional={
        "fixed_per_event": MONEY,
        "free_events": st.integers(0, 4),
        "free_amount": decimals(60, 0),
    },
)
EVENT_BOUNDS = st.lists(MONEY, max_size=2).map(
    lambda found: dict(zip(("min_per_event", "max_per_event"), sorted(found, key=Decimal), strict=False))
)


@settings(max_examples=200, deadline=None)
@given(PERCENTAGES, EVENT_BOUNDS, st.lists(st.integers(0, 40), max_size=6))
def test_percentages_equal_the_slow_model_event_by_event(
    fields: dict[str, Any], bounds: dict[str, Any], values: list[int]
) -> None:
    price = parse_price("percentage", {**fields, **bounds})
    rating = rate(price, Usage(Events(tuple(map(Decimal, values)))), "CNY")
    assert Fraction(rating.precise) == slow_percentage({**fields, **bounds}, values)


@settings(max_examples=100, deadline=None)
@given(terms("per_unit", "package", "volume", "graduated"), st.lists(QUANTITIES, max_size=5))
def test_a_bucketed_price_is_the_sum_of_its_buckets_rounded_once(
    terms: tuple[str, dict[str, Any]], quantities: list[int]
) -> None:
    model, fields = terms
    price = parse_price("bucketed", {"model": model, "price": fields})
    rating = rate(price, Usage(Buckets(tuple(map(Decimal, quantities)))), "CNY")
    exact = sum((slow_amount(model, fields, quantity) for quantity in quantities), Fraction(0))
    assert int(rating.amount.scaleb(2)) == slow_minor_units(exact, 2)


@st.composite
def call_counts(draw: st.DrawFn) -> CallCounts:
    successes, failures, faults = (draw(st.integers(0, 400)) for _ in range(3))
    return CallCounts(Decimal(successes + failures + faults), Decimal(successes), Decimal(faults))


@settings(max_examples=200, deadline=None)
@given(call_counts(), decimals(99_99, 2, least=1), MONEY, MONEY, st.integers(0, 500))
def test_the_tier_of_a_success_rate_is_found_without_dividing(
    counts: CallCounts, bound: str, high: str, low: str, minimum_sample: int
) -> None:
    tiers = [
        {"min_success_rate": bound, "unit_price": high},
        {"min_success_rate": "0", "unit_price": low},
    ]
    price = parse_price("success_tiered", {"tiers": tiers, "minimum_sample": minimum_sample})
    judged = counts.calls - counts.caller_faults
    unjudged = judged == 0 or judged < minimum_sample
    reached = high if unjudged or counts.successes * 100 >= Decimal(bound) * judged else low
    rating = rate(price, Usage(counts.successes, counts), "CNY")
    assert rating.precise == counts.successes * Decimal(reached)
