"""What makes a well-formed price sensible; each rule yields a `FieldError` with pointer, name and remedy."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

from catalog.plan.price import (
    BlockGraduated,
    BlockTier,
    BlockVolume,
    Capacity,
    CapacityTier,
    Graduated,
    GraduatedPercentage,
    Matrix,
    Outcome,
    Percentage,
    PercentageTier,
    Price,
    SlaCredit,
    SuccessTiered,
    Tier,
    Volume,
    VolumePercentage,
)
from catalog.vocabulary.problem import FieldError


def broken_rules(price: Price) -> Iterator[FieldError]:
    """Every rule that the price breaks, in the order of its fields."""
    match price:
        case Graduated() | Volume() | GraduatedPercentage() | VolumePercentage():
            yield from _ascending_tiers(price.tiers)
        case BlockGraduated() | BlockVolume():
            yield from _block_tiers(price.tiers)
        case Capacity():
            yield from _capacity_tiers(price.tiers)
        case Matrix():
            yield from _matrix(price)
        case SuccessTiered():
            rates = [tier.min_success_rate for tier in price.tiers]
            yield from _descending_percentages(rates, "/tiers", "min_success_rate")
        case SlaCredit():
            yield from _descending_percentages(
                [row.at_least for row in price.schedule], "/schedule", "at_least"
            )
            for index, row in enumerate(price.schedule):
                yield from _at_most_100(row.credit_pct, f"/schedule/{index}/credit_pct")
        case Percentage():
            yield from _ordered(price.min_per_event, price.max_per_event, "min_per_event", "max_per_event")
        case Outcome():
            yield from _ordered(price.min, price.max, "min", "max")
            if price.of is not None and not price.of.startswith("/"):
                yield FieldError(
                    "/of", "pointer", "name the reply's field as a JSON pointer such as /reply/saving"
                )
        case _:
            pass
    if price.success_factor:
        rates = [row.min_success_rate for row in price.success_factor]
        yield from _descending_percentages(rates, "/success_factor", "min_success_rate")
    yield from _at_most_100(price.discount_pct, "/discount_pct")
    yield from _ordered(price.minimum, price.maximum, "minimum", "maximum")


def never_meant(price: Price) -> Iterator[FieldError]:
    """What a price that is rated all the same, and may have been published once, is not published with any more."""
    match price:
        case Outcome():
            yield from _at_most_100(price.rate_pct, "/rate_pct")
        case Capacity():
            for index, (lower, higher) in enumerate(pairwise(price.tiers), 1):
                if Fraction(higher.price) < Fraction(lower.price):
                    detail = "a higher tier costs no less than the one before it"
                    yield FieldError(f"/tiers/{index}/price", "ascending", detail)
        case _:
            pass


def _ascending_tiers(tiers: Sequence[Tier | PercentageTier]) -> Iterator[FieldError]:
    yield from _not_empty(tiers, "/tiers")
    reached = Fraction(0)
    for index, tier in enumerate(tiers):
        pointer = f"/tiers/{index}/up_to"
        last = index == len(tiers) - 1
        if tier.up_to is None:
            if not last:
                yield FieldError(
                    pointer, "open-end", "only the last tier has no upper bound; give this one a number"
                )
        elif Fraction(tier.up_to) <= reached:
            yield FieldError(
                pointer, "ascending", "tiers go upwards: make this bound larger than the one before it"
            )
        else:
            reached = Fraction(tier.up_to)
        if last and tier.up_to is not None:
            yield FieldError(
                pointer, "open-end", "the last tier takes all further usage: set its up_to to null"
            )


def _block_tiers(tiers: Sequence[BlockTier]) -> Iterator[FieldError]:
    yield from _not_empty(tiers, "/tiers")
    for index, tier in enumerate(tiers):
        pointer = f"/tiers/{index}/max_blocks"
        if tier.max_blocks is None:
            if index < len(tiers) - 1:
                yield FieldError(
                    pointer, "open-end", "only the last tier has no end; give this one a number of blocks"
                )
        elif int(tier.max_blocks) == 0:
            yield FieldError(pointer, "positive", "a tier holds at least one block")


def _capacity_tiers(tiers: Sequence[CapacityTier]) -> Iterator[FieldError]:
    yield from _not_empty(tiers, "/tiers")
    before: dict[str, str] | None = None
    for index, tier in enumerate(tiers):
        pointer = f"/tiers/{index}/max"
        last = index == len(tiers) - 1
        if last != (tier.max is None):
            yield FieldError(
                pointer, "open-end", "the last tier, and only the last, is enough for everything: max null"
            )
        if tier.max is None:
            continue
        if before is not None:
            if tier.max.keys() != before.keys():
                yield FieldError(
                    pointer, "same-units", f"every tier bounds the same units: {', '.join(before)}"
                )
            elif tier.max == before or any(Fraction(tier.max[u]) < Fraction(before[u]) for u in before):
                yield FieldError(
                    pointer, "ascending", "a higher tier has room for more of some unit and less of none"
                )
        elif not tier.max:
            yield FieldError(pointer, "not-empty", "name at least one unit and its bound")
        before = tier.max


def _matrix(price: Matrix) -> Iterator[FieldError]:
    yield from _not_empty(price.dimensions, "/dimensions")
    if price.default is None:
        yield from _not_empty(price.cells, "/cells")
    if len(set(price.dimensions)) != len(price.dimensions):
        yield FieldError("/dimensions", "unique", "name each dimension once")
    seen: set[tuple[tuple[str, str], ...]] = set()
    for index, cell in enumerate(price.cells):
        pointer = f"/cells/{index}/dimensions"
        combination = tuple(sorted(cell.dimensions.items()))
        if cell.dimensions.keys() != set(price.dimensions):
            wanted = ", ".join(price.dimensions)
            yield FieldError(pointer, "same-dimensions", f"a cell gives a value for each dimension: {wanted}")
        elif combination in seen:
            yield FieldError(pointer, "unique", "this combination has a price already; keep one of them")
        seen.add(combination)


def _descending_percentages(bounds: Sequence[str], place: str, field: str) -> Iterator[FieldError]:
    """Lower bounds in percent: best first, strictly downwards, ending with 0 so that every rate has a row."""
    yield from _not_empty(bounds, place)
    for index, bound in enumerate(bounds):
        pointer = f"{place}/{index}/{field}"
        yield from _at_most_100(bound, pointer)
        if index and Fraction(bound) >= Fraction(bounds[index - 1]):
            yield FieldError(
                pointer, "descending", "the best row comes first: make this bound smaller than the last"
            )
    if bounds and Fraction(bounds[-1]) != 0:
        pointer = f"{place}/{len(bounds) - 1}/{field}"
        yield FieldError(pointer, "open-end", 'the last row takes every lower rate: set it to "0"')


def _at_most_100(percentage: str, pointer: str) -> Iterator[FieldError]:
    if Fraction(percentage) > 100:
        yield FieldError(pointer, "percentage", "a percentage between 0 and 100 is needed")


def _ordered(low: str | None, high: str | None, low_name: str, high_name: str) -> Iterator[FieldError]:
    if low is not None and high is not None and Fraction(low) > Fraction(high):
        yield FieldError(f"/{high_name}", "ordered", f"{high_name} must not be less than {low_name}")


def _not_empty(items: Iterable[object], pointer: str) -> Iterator[FieldError]:
    if not tuple(items):
        yield FieldError(pointer, "not-empty", "at least one entry is needed")
