"""Supplies that are on their way: announced, changed, and received in part or whole."""

from collections.abc import Sequence

import msgspec

from atomic_services.contract import CallContext, Transaction
from atomic_services.stock.levels import Owner, Place, ensure_levels, lock_levels
from atomic_services.stock.rule_rows import record_change
from atomic_services.stock.schema import ExpectReply, ExpectRequest

# SKU, warehouse, reference.
SupplyKey = tuple[str, str, str]

_KNOWN = """
    SELECT sku, warehouse, reference FROM stock.supply
    WHERE account_id = $1 AND environment = $2
      AND (sku, warehouse, reference) IN (SELECT * FROM unnest($3::text[], $4::text[], $5::text[]))
"""

_RECEIVE = """
    UPDATE stock.supply SET received = supply.received + arrived.quantity
    FROM (SELECT sku, warehouse, reference, sum(quantity)::bigint AS quantity
          FROM unnest($3::text[], $4::text[], $5::text[], $6::bigint[]) AS part (sku, warehouse, reference, quantity)
          GROUP BY sku, warehouse, reference) AS arrived
    WHERE account_id = $1 AND environment = $2 AND supply.sku = arrived.sku
      AND supply.warehouse = arrived.warehouse AND supply.reference = arrived.reference
"""

_EXPECT = """
    INSERT INTO stock.supply (account_id, environment, reference, sku, warehouse, quantity, expected_on)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (account_id, environment, sku, warehouse, reference)
    DO UPDATE SET quantity = excluded.quantity, expected_on = excluded.expected_on
    RETURNING quantity, received, open, expected_on
"""


async def expect(request: ExpectRequest, context: CallContext) -> ExpectReply:
    """Announce a supply, or change what was said of it; 0 units cancel what has not come yet."""
    transaction, owner = context.unit_of_work(), Owner.of(context)
    place = Place(owner, request.sku, request.warehouse)
    await ensure_levels(transaction, [place])
    # Whoever decides about orders of this article holds its level: the supply is there for all of a decision or none.
    await lock_levels(transaction, [place], None)
    row = await transaction.fetchrow(
        _EXPECT,
        owner.account_id,
        owner.environment,
        request.reference,
        request.sku,
        request.warehouse,
        request.quantity,
        request.expected_on,
    )
    assert row is not None
    await record_change(transaction, context, {"supply": msgspec.to_builtins(request)})
    return ExpectReply(
        request.reference,
        request.sku,
        request.warehouse,
        row["quantity"],
        row["received"],
        row["open"],
        row["expected_on"],
    )


async def supplies_known(transaction: Transaction, owner: Owner, keys: Sequence[SupplyKey]) -> set[SupplyKey]:
    """Those of the supplies that were announced."""
    rows = await transaction.fetch(
        _KNOWN, owner.account_id, owner.environment, *map(list, zip(*keys, strict=True))
    )
    return {(row["sku"], row["warehouse"], row["reference"]) for row in rows}


async def receive(
    transaction: Transaction, owner: Owner, arrived: Sequence[tuple[str, str, str, int]]
) -> None:
    """Count units as arrived; their levels are locked."""
    await transaction.execute(
        _RECEIVE, owner.account_id, owner.environment, *map(list, zip(*arrived, strict=True))
    )
