"""Which warehouse serves which line."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from atomic_services.stock.allocation import Share, allot, draw
from atomic_services.stock.fields import Line
from atomic_services.stock.sourcing import Sourcing

SKUS = st.sampled_from(["A", "B"])
WAREHOUSES = st.sampled_from(["N", "S", "W"])
LINES = st.lists(st.builds(Line, SKUS, st.integers(1, 9), st.none() | WAREHOUSES), min_size=1, max_size=6)
AVAILABLE = st.dictionaries(st.tuples(SKUS, WAREHOUSES), st.integers(0, 12))


def _shares(lines: list[Line], available: dict[tuple[str, str], int]) -> list[tuple[int, str, int]]:
    return [
        (share.position, share.warehouse, share.quantity)
        for share in allot(lines, available, Sourcing()).shares
    ]


def test_one_warehouse_that_has_the_whole_order_is_preferred_to_fuller_ones() -> None:
    available = {("A", "N"): 90, ("B", "N"): 1, ("A", "S"): 5, ("B", "S"): 5, ("B", "W"): 80}
    assert _shares([Line("A", 5), Line("B", 5)], available) == [(0, "S", 5), (1, "S", 5)]


def test_without_such_a_warehouse_the_fullest_comes_first() -> None:
    assert _shares([Line("A", 9)], {("A", "N"): 3, ("A", "S"): 5, ("A", "W"): 4}) == [
        (0, "S", 5),
        (0, "W", 4),
    ]


def test_ties_go_by_name() -> None:
    assert _shares([Line("A", 2)], {("A", "W"): 3, ("A", "S"): 3}) == [(0, "S", 2)]


def test_a_line_that_names_its_warehouse_is_not_robbed_by_one_that_does_not() -> None:
    assert _shares([Line("A", 5), Line("A", 5, "N")], {("A", "N"): 5, ("A", "S"): 5}) == [
        (0, "S", 5),
        (1, "N", 5),
    ]


def test_a_short_line_is_told_what_it_could_have_had() -> None:
    lines = [Line("A", 6), Line("A", 6), Line("B", 1)]
    assert allot(lines, {("A", "N"): 10, ("B", "N"): 7}, Sourcing()).obtainable(lines) == [6, 4, 7]


@given(LINES, AVAILABLE)
def test_every_line_gets_as_much_as_there_is_and_no_warehouse_gives_more_than_it_has(
    lines: list[Line], available: dict[tuple[str, str], int]
) -> None:
    allotment = allot(lines, available, Sourcing())
    given_by: Counter[tuple[str, str]] = Counter()
    given_to: Counter[int] = Counter()
    for share in allotment.shares:
        line = lines[share.position]
        assert share.sku == line.sku
        assert line.warehouse in (None, share.warehouse)
        given_by[share.sku, share.warehouse] += share.quantity
        given_to[share.position] += share.quantity
    assert all(units <= available[key] for key, units in given_by.items())
    assert all(given_to[position] <= line.quantity for position, line in enumerate(lines))
    assert sum(given_to.values()) == _most(lines, available)
    assert allotment.left == {key: units - given_by[key] for key, units in available.items()}


@given(LINES, AVAILABLE)
def test_a_line_is_short_exactly_if_it_could_not_have_its_quantity(
    lines: list[Line], available: dict[tuple[str, str], int]
) -> None:
    allotment = allot(lines, available, Sourcing())
    complete = sum(share.quantity for share in allotment.shares) == sum(line.quantity for line in lines)
    obtainable = allotment.obtainable(lines)
    assert complete == all(units >= line.quantity for line, units in zip(lines, obtainable, strict=True))


def _most(lines: list[Line], available: dict[tuple[str, str], int]) -> int:
    """The most units that can be served: a flow with one choice a fixed line and all choices an open one."""
    total = 0
    for sku in {line.sku for line in lines}:
        stock = {warehouse: units for (name, warehouse), units in available.items() if name == sku}
        fixed: Counter[str] = Counter()
        for line in lines:
            if line.sku == sku and line.warehouse is not None:
                fixed[line.warehouse] += line.quantity
        served = sum(min(units, stock.get(warehouse, 0)) for warehouse, units in fixed.items())
        open_ = sum(line.quantity for line in lines if line.sku == sku and line.warehouse is None)
        total += served + min(open_, sum(stock.values()) - served)
    return total


def test_a_partial_confirmation_takes_from_the_shares_in_order() -> None:
    held = [Share(0, "A", "N", 4), Share(0, "A", "S", 3), Share(1, "B", "N", 2)]
    drawn = draw([Line("A", 5), Line("A", 2, "N"), Line("B", 1)], held)
    assert (drawn.quantities, drawn.short) == ((4, 3, 1), None)


def test_a_confirmation_of_more_than_is_held_names_its_line() -> None:
    held = [Share(0, "A", "N", 4), Share(1, "B", "N", 2)]
    assert draw([Line("A", 1), Line("B", 3)], held).short == 1
    assert draw([Line("A", 1, "S")], held).short == 0
