"""Promises, sourcing and proposals: pure arithmetic, for any figures."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from atomic_services.stock.allocation import allot
from atomic_services.stock.fields import Line
from atomic_services.stock.promising import promises, together
from atomic_services.stock.replenishment import Needs, propose, smallest_order
from atomic_services.stock.sourcing import Sourcing, choose

TODAY = date(2026, 11, 22)
UNITS = st.integers(0, 500)
SUPPLIES = st.dictionaries(
    st.integers(-5, 40).map(lambda days: TODAY + timedelta(days=days)), st.integers(1, 50), max_size=8
)
WAREHOUSES = [f"W{number}" for number in range(5)]
STOCK = st.dictionaries(st.tuples(st.sampled_from("AB"), st.sampled_from(WAREHOUSES)), st.integers(0, 12))
RULES = st.builds(
    Sourcing,
    st.sampled_from(["single_warehouse", "fewest_splits", "priority"]),
    st.lists(st.sampled_from(WAREHOUSES), unique=True).map(tuple),
)


@st.composite
def needs(draw: st.DrawFn) -> Needs:
    """Any figures, with room for a smallest order between minimum and maximum, as `configure` demands."""
    pack_size, minimum_order = draw(st.integers(1, 40)), draw(st.integers(1, 90))
    minimum = draw(UNITS)
    maximum = minimum + smallest_order(pack_size, minimum_order) + draw(UNITS)
    on_hand = draw(UNITS)
    quarantined = draw(st.integers(0, on_hand))
    committed = draw(st.integers(0, on_hand - quarantined))
    return Needs("A", on_hand, quarantined, committed, draw(UNITS), draw(UNITS), draw(st.integers(1, 60)),
                 draw(st.integers(0, 60)), minimum, maximum, pack_size, minimum_order)  # fmt: skip


@given(needs())
def test_an_order_brings_the_level_between_minimum_and_maximum_in_whole_packs(needs: Needs) -> None:
    proposal = propose(needs)
    assert proposal.quantity == proposal.packs * needs.pack_size
    assert proposal.projected_after == proposal.projected + proposal.quantity
    if proposal.projected >= needs.minimum:
        assert proposal.quantity == 0
    else:
        assert proposal.quantity >= needs.minimum_order
        assert needs.minimum <= proposal.projected_after <= needs.maximum
        assert proposal.projected_after + needs.pack_size > needs.maximum


@given(needs())
def test_once_an_order_is_on_its_way_nothing_more_is_proposed(needs: Needs) -> None:
    proposal = propose(needs)
    figures = {name: getattr(needs, name) for name in Needs.__struct_fields__}
    assert propose(Needs(**{**figures, "inbound": needs.inbound + proposal.quantity})).quantity == 0


@given(needs())
def test_the_demand_until_an_order_arrives_is_never_understated(needs: Needs) -> None:
    demand = propose(needs).lead_time_demand
    exact = needs.sold * needs.lead_time_days
    assert exact <= demand * needs.demand_days < exact + needs.demand_days


@given(st.integers(-50, 200), SUPPLIES, st.integers(0, 30), st.none() | st.integers(0, 100))
def test_promises_only_grow_and_come_to_every_unit_once(
    promisable: int, supplies: dict[date, int], horizon_days: int, at_most: int | None
) -> None:
    series = promises(promisable, supplies, TODAY, horizon_days, at_most)
    last = TODAY + timedelta(days=horizon_days)
    due = {day: units for day, units in supplies.items() if TODAY <= day <= last}
    assert [one.on for one in series] == sorted({TODAY, *due})
    assert [one.promisable for one in series] == sorted(one.promisable for one in series)
    assert sum(one.inbound for one in series) == sum(due.values())
    everything = max(promisable + sum(due.values()), 0)
    assert series[-1].promisable == (everything if at_most is None else min(everything, at_most))


@given(st.lists(st.tuples(st.integers(-50, 200), SUPPLIES), max_size=4))
def test_a_total_promises_by_each_day_what_its_warehouses_promise_by_then(
    levels: list[tuple[int, dict[date, int]]],
) -> None:
    series = [promises(units, supplies, TODAY, 30) for units, supplies in levels]
    for promise in together(series):
        by_then = [[one.promisable for one in level if one.on <= promise.on][-1] for level in series]
        assert promise.promisable == sum(by_then)


@given(
    st.lists(st.builds(Line, st.sampled_from("AB"), st.integers(1, 9)), min_size=1, max_size=4), STOCK, RULES
)
def test_whatever_the_rule_an_order_that_can_be_served_is_served_in_full(
    lines: list[Line], stock: dict[tuple[str, str], int], rule: Sourcing
) -> None:
    for sku in "AB":
        wanted = sum(line.quantity for line in lines if line.sku == sku)
        there = sum(units for key, units in stock.items() if key[0] == sku)
        served = sum(share.quantity for share in allot(lines, stock, rule).shares if share.sku == sku)
        assert served == min(wanted, there)


@given(st.fixed_dictionaries({"A": st.integers(1, 20), "B": st.integers(1, 20)}), STOCK, RULES)
def test_the_rule_of_fewest_splits_is_never_beaten_by_another(
    wanted: dict[str, int], stock: dict[tuple[str, str], int], rule: Sourcing
) -> None:
    lines = [Line(sku, units) for sku, units in wanted.items()]
    few = choose(Sourcing("fewest_splits", rule.priority), wanted, stock).warehouses
    other = allot(lines, stock, rule)
    if few is not None and other.units == sum(wanted.values()) and len(few) <= 3:
        assert len(few) <= len({share.warehouse for share in other.shares})


@given(STOCK, RULES)
def test_a_listed_warehouse_comes_before_every_other(
    stock: dict[tuple[str, str], int], rule: Sourcing
) -> None:
    shares = allot([Line("A", 3)], stock, Sourcing("priority", rule.priority)).shares
    ranks = [rule.rank(share.warehouse) for share in shares]
    skipped = [
        units for (sku, name), units in stock.items() if sku == "A" and ranks and rule.rank(name) < min(ranks)
    ]
    assert not any(skipped)
