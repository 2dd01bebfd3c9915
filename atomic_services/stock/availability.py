"""What there is, and what can be promised now and later; nothing is locked."""

from collections.abc import Sequence

from atomic_services.contract import CallContext
from atomic_services.stock.fields import Line
from atomic_services.stock.levels import Level, Owner, read_levels
from atomic_services.stock.promising import as_lent, promises, together
from atomic_services.stock.schema import AvailabilityReply, AvailabilityRequest, Promise, SkuTotal, StockLevel
from atomic_services.stock.terms import (
    check_granted,
    held_by_channel,
    read_channels,
    read_policies,
    read_supplies,
)


async def availability(request: AvailabilityRequest, context: CallContext) -> AvailabilityReply:
    """On hand, reserved and available at the moment of the call, and with a horizon what can be promised when."""
    transaction, moment = context.unit_of_work(), context.occurred_at
    owner, today = Owner.of(context, request.owner), moment.date()
    skus = tuple(dict.fromkeys(request.skus))
    keys = [] if request.channel is None else [(owner, request.channel)]
    channel = next(iter((await read_channels(transaction, keys)).values()), None)
    check_granted(channel, owner, request.channel, context.account_id, [Line(sku, 1) for sku in skus])
    held = next(iter((await held_by_channel(transaction, keys, moment)).values()), 0)
    left = None if channel is None else max(channel.quota - channel.sold - held, 0)
    levels = [
        level
        for level in await read_levels(transaction, owner, skus, moment)
        if channel is None or channel.covers(level.sku, level.warehouse)
    ]
    policy = (await read_policies(transaction, [owner]))[owner]
    dated = request.horizon_days is not None
    supplies = await read_supplies(transaction, owner, skus) if dated or policy.holds_orders else {}
    found = []
    for level in levels:
        coming = supplies.get((level.sku, level.warehouse), {})
        now = policy.promisable(level)
        waits = policy.holds(level, coming, today)
        series = promises(now, coming, today, request.horizon_days or 0, left) if dated else ()
        found.append(_stock_level(level, 0 if waits else _capped(now, left), waits, series))
    if channel is not None:
        found = [_seen_through(level) for level in found]
    return AvailabilityReply(
        tuple(_total(sku, [level for level in found if level.sku == sku], left) for sku in skus),
        tuple(found),
        moment,
    )


def _capped(units: int, left: int | None) -> int:
    return max(units if left is None else min(units, left), 0)


def _stock_level(level: Level, promisable: int, held: bool, series: tuple[Promise, ...]) -> StockLevel:
    return StockLevel(
        level.sku,
        level.warehouse,
        level.on_hand,
        level.reserved,
        level.quarantined,
        level.available,
        level.safety_stock,
        promisable,
        held,
        series,
    )


def _seen_through(level: StockLevel) -> StockLevel:
    """Through a channel one sees what one can have, and nothing of what the owner or others have or hold."""
    units = level.promisable
    promises = as_lent(level.promises)
    return StockLevel(level.sku, level.warehouse, units, 0, 0, units, 0, units, level.held, promises)


def _total(sku: str, levels: Sequence[StockLevel], left: int | None) -> SkuTotal:
    series = together([level.promises for level in levels], left)
    if left is not None:
        # Several warehouses share one quota: together they have no more than is left of it.
        units = min(sum(level.promisable for level in levels), left)
        return SkuTotal(sku, units, 0, 0, units, 0, units, as_lent(series))
    return SkuTotal(
        sku,
        sum(level.on_hand for level in levels),
        sum(level.reserved for level in levels),
        sum(level.quarantined for level in levels),
        sum(level.available for level in levels),
        sum(level.safety_stock for level in levels),
        sum(level.promisable for level in levels),
        series,
    )
