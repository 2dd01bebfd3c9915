"""How much to order: pure whole-number arithmetic, and the reasons in words.

The rule is the (s, S) inventory policy: order when the stock projected for the order's arrival is below the minimum,
and then as many whole packs as fit under the maximum.
"""

from msgspec import Struct

from atomic_services.stock.planning_schema import Proposal


class Needs(Struct, frozen=True):
    """The rule of a level and every figure that decides: units, and days where the name says so."""

    sku: str
    on_hand: int
    quarantined: int
    committed: int
    inbound: int
    sold: int
    demand_days: int
    lead_time_days: int
    minimum: int
    maximum: int
    pack_size: int
    minimum_order: int


def smallest_order(pack_size: int, minimum_order: int) -> int:
    """The minimum order in whole packs."""
    return _up(minimum_order, pack_size) * pack_size


def propose(needs: Needs) -> Proposal:
    """The order that brings the level back; with `maximum - minimum` at least a smallest order it always fits."""
    lead_time_demand = _up(needs.sold * needs.lead_time_days, needs.demand_days)
    position = needs.on_hand - needs.quarantined - needs.committed + needs.inbound
    projected = position - lead_time_demand
    packs = (needs.maximum - projected) // needs.pack_size if projected < needs.minimum else 0
    quantity = packs * needs.pack_size
    return Proposal(
        needs.sku,
        quantity,
        packs,
        needs.on_hand,
        needs.quarantined,
        needs.committed,
        needs.inbound,
        needs.sold,
        needs.lead_time_days,
        lead_time_demand,
        projected,
        projected + quantity,
        needs.minimum,
        needs.maximum,
        needs.pack_size,
        needs.minimum_order,
        _why(needs, lead_time_demand, projected, packs),
    )


def _why(needs: Needs, lead_time_demand: int, projected: int, packs: int) -> tuple[str, ...]:
    good = needs.on_hand - needs.quarantined - needs.committed
    facts = (
        f"{good} units are free: {needs.on_hand} on hand, less {needs.quarantined} quarantined and {needs.committed} "
        "reserved.",
        f"{needs.inbound} units are on order.",
        f"{needs.sold} units were sold in {needs.demand_days} days: {lead_time_demand} more in the "
        f"{needs.lead_time_days} days until an order arrives, rounded up.",
    )
    if not packs:
        enough = f"That leaves {projected}, not below the minimum of {needs.minimum}: nothing to order."
        return (*facts, enough)
    return (
        *facts,
        f"That leaves {projected}, below the minimum of {needs.minimum}.",
        f"{packs} packs of {needs.pack_size} bring it to {projected + packs * needs.pack_size}, as near to the maximum "
        f"of {needs.maximum} as whole packs come; the smallest order is "
        f"{smallest_order(needs.pack_size, needs.minimum_order)}.",
    )


def _up(units: int, by: int) -> int:
    """The quotient, rounded up."""
    return -(-units // by)
