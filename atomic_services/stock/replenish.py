"""Proposals for a warehouse, from its levels, what is on order, and what was sold."""

from datetime import timedelta

from atomic_services.contract import CallContext
from atomic_services.stock.levels import Owner
from atomic_services.stock.planning_schema import PAGE_MAX
from atomic_services.stock.replenishment import Needs, propose
from atomic_services.stock.schema import ReplenishReply, ReplenishRequest

_NEEDS = """
    SELECT rule.sku, rule.minimum, rule.maximum, rule.pack_size, rule.minimum_order, rule.lead_time_days,
           level.on_hand, level.quarantined, level.reserved - coalesce(expired.quantity, 0) AS committed,
           coalesce(supply.open, 0) AS inbound, coalesce(demand.sold, 0) AS sold
    FROM stock.replenishment_rule AS rule
    JOIN stock.level USING (account_id, environment, sku, warehouse)
    LEFT JOIN LATERAL (
        SELECT sum(line.quantity)::bigint AS quantity FROM stock.reservation_line AS line
        WHERE line.owner_id = rule.account_id AND line.environment = rule.environment AND line.sku = rule.sku
          AND line.warehouse = rule.warehouse AND line.state = 'held' AND line.expires_at <= $5
    ) AS expired ON true
    LEFT JOIN LATERAL (
        SELECT sum(supply.open)::bigint AS open FROM stock.supply
        WHERE supply.account_id = rule.account_id AND supply.environment = rule.environment
          AND supply.sku = rule.sku AND supply.warehouse = rule.warehouse
    ) AS supply ON true
    LEFT JOIN LATERAL (
        SELECT -sum(movement.on_hand_change)::bigint AS sold FROM stock.movement
        WHERE movement.account_id = rule.account_id AND movement.environment = rule.environment
          AND movement.sku = rule.sku AND movement.warehouse = rule.warehouse
          AND movement.kind = 'confirm' AND movement.occurred_at > $6 AND movement.occurred_at <= $5
    ) AS demand ON true
    WHERE rule.account_id = $1 AND rule.environment = $2 AND rule.warehouse = $3
      AND ($4::text[] IS NULL OR rule.sku = ANY ($4::text[]))
    ORDER BY rule.sku LIMIT $7
"""


async def replenish(request: ReplenishRequest, context: CallContext) -> ReplenishReply:
    """What to order now for each level with a rule; it changes nothing."""
    owner, moment = Owner.of(context), context.occurred_at
    rows = await context.unit_of_work().fetch(
        _NEEDS,
        owner.account_id,
        owner.environment,
        request.warehouse,
        None if request.skus is None else list(request.skus),
        moment,
        moment - timedelta(days=request.demand_days),
        PAGE_MAX,
    )
    proposals = tuple(propose(Needs(**row, demand_days=request.demand_days)) for row in rows)
    return ReplenishReply(request.warehouse, request.demand_days, proposals, moment)
