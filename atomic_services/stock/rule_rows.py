"""The rows of an owner's rules, and the history of their changes."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from atomic_services.contract import CallContext, Transaction
from atomic_services.stock.levels import Owner, Place, ensure_levels, lock_levels
from atomic_services.stock.rules_schema import ChannelRule, LevelRule, Replenishment, RuleChange
from atomic_services.stock.terms import Channel, Policy, channel_of
from catalog.vocabulary.ids import call_id_text

_CHANGES_SHOWN = 20

_SET_POLICY = """
    INSERT INTO stock.policy (account_id, environment, sourcing, priority, promises_safety_stock, holds_orders, hold_days)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (account_id, environment) DO UPDATE
    SET sourcing = excluded.sourcing, priority = excluded.priority, holds_orders = excluded.holds_orders,
        promises_safety_stock = excluded.promises_safety_stock, hold_days = excluded.hold_days
"""

_SET_SAFETY_STOCK = """
    UPDATE stock.level SET safety_stock = one.units
    FROM unnest($3::text[], $4::text[], $5::bigint[]) AS one (sku, warehouse, units)
    WHERE account_id = $1 AND environment = $2 AND level.sku = one.sku AND level.warehouse = one.warehouse
"""

_SET_REPLENISHMENT = """
    INSERT INTO stock.replenishment_rule (account_id, environment, sku, warehouse, minimum, maximum, pack_size,
                                          minimum_order, lead_time_days)
    SELECT $1, $2, * FROM unnest($3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
                                 $9::integer[])
    ON CONFLICT (account_id, environment, sku, warehouse) DO UPDATE
    SET minimum = excluded.minimum, maximum = excluded.maximum, pack_size = excluded.pack_size,
        minimum_order = excluded.minimum_order, lead_time_days = excluded.lead_time_days
"""

_SET_CHANNEL = """
    INSERT INTO stock.channel (account_id, environment, channel, grantee_id, warehouse, sku_pattern, quota, active)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (account_id, environment, channel) DO UPDATE
    SET warehouse = excluded.warehouse, sku_pattern = excluded.sku_pattern, quota = excluded.quota,
        active = excluded.active
    WHERE channel.grantee_id = excluded.grantee_id
    RETURNING channel
"""

_LEVEL_RULES = """
    SELECT level.sku, level.warehouse, level.safety_stock, rule.minimum, rule.maximum, rule.pack_size,
           rule.minimum_order, rule.lead_time_days
    FROM stock.level
    LEFT JOIN stock.replenishment_rule AS rule USING (account_id, environment, sku, warehouse)
    WHERE account_id = $1 AND environment = $2 AND level.sku = ANY ($3::text[])
    ORDER BY level.sku, level.warehouse
"""

CHANNELS_SHOWN = 100

_OWN_CHANNELS = """
    SELECT account_id, environment, channel, grantee_id, warehouse, sku_pattern, quota, sold, active
    FROM stock.channel WHERE account_id = $1 AND environment = $2 AND channel > $3
    ORDER BY channel LIMIT $4
"""

_RECEIVED_CHANNELS = """
    SELECT account_id, environment, channel, grantee_id, warehouse, sku_pattern, quota, sold, active
    FROM stock.channel
    WHERE grantee_id = $1 AND environment = $2 AND active AND account_id <> $1 AND (account_id, channel) > ($3, $4)
    ORDER BY account_id, channel LIMIT $5
"""

_RECORD = """
    INSERT INTO stock.rule_change (account_id, environment, call_id, application_id, occurred_at, document)
    VALUES ($1, $2, $3, $4, $5, $6::text::jsonb)
"""

_CHANGES = """
    SELECT call_id, application_id, occurred_at, document::text AS document FROM stock.rule_change
    WHERE account_id = $1 AND environment = $2 ORDER BY id DESC LIMIT $3
"""


async def set_policy(transaction: Transaction, owner: Owner, policy: Policy) -> None:
    """The whole policy."""
    await transaction.execute(
        _SET_POLICY,
        owner.account_id,
        owner.environment,
        policy.sourcing.rule,
        list(policy.sourcing.priority),
        policy.promises_safety_stock,
        policy.holds_orders,
        policy.hold_days,
    )


async def set_level_rules(transaction: Transaction, owner: Owner, rules: Sequence[LevelRule]) -> None:
    """Safety stock and replenishment where they are given; each level once, and locked."""
    places = [Place(owner, rule.sku, rule.warehouse) for rule in rules]
    await ensure_levels(transaction, places)
    await lock_levels(transaction, places, None)
    key = (owner.account_id, owner.environment)
    safe = [(one.sku, one.warehouse, one.safety_stock) for one in rules if one.safety_stock is not None]
    if safe:
        await transaction.execute(_SET_SAFETY_STOCK, *key, *map(list, zip(*safe, strict=True)))
    orders = [
        (
            one.sku,
            one.warehouse,
            rule.minimum,
            rule.maximum,
            rule.pack_size,
            rule.minimum_order,
            rule.lead_time_days,
        )
        for one in rules
        if (rule := one.replenishment) is not None
    ]
    if orders:
        await transaction.execute(_SET_REPLENISHMENT, *key, *map(list, zip(*orders, strict=True)))


async def set_channel(transaction: Transaction, owner: Owner, rule: ChannelRule) -> bool:
    """Grant or change a channel; False if it is another account's."""
    row = await transaction.fetchrow(
        _SET_CHANNEL,
        owner.account_id,
        owner.environment,
        rule.channel,
        rule.grantee,
        rule.warehouse,
        rule.skus,
        rule.quota,
        rule.active,
    )
    return row is not None


async def read_level_rules(
    transaction: Transaction, owner: Owner, skus: Sequence[str]
) -> tuple[LevelRule, ...]:
    """The rules of all levels of some SKUs."""
    rows = await transaction.fetch(_LEVEL_RULES, owner.account_id, owner.environment, list(skus))
    return tuple(
        LevelRule(row["sku"], row["warehouse"], row["safety_stock"], _replenishment(row)) for row in rows
    )


async def channels_of(
    transaction: Transaction, account: Owner, after: str | None
) -> tuple[list[Channel], str | None]:
    """The channels that the account granted and then those that others granted it, a page of them; where the next begins.

    `after` is a place that an earlier page gave: an owner and a channel.
    """
    owner_id, _, name = (after or f"{account.account_id} ").partition(" ")
    own, key = owner_id == account.account_id, (account.account_id, account.environment)
    rows = await transaction.fetch(_OWN_CHANNELS, *key, name, CHANNELS_SHOWN + 1) if own else []
    if len(rows) <= CHANNELS_SHOWN:
        place = ("", "") if own else (owner_id, name)
        rows += await transaction.fetch(_RECEIVED_CHANNELS, *key, *place, CHANNELS_SHOWN + 1 - len(rows))
    page = [channel_of(row) for row in rows[:CHANNELS_SHOWN]]
    more = len(rows) > CHANNELS_SHOWN
    return page, f"{page[-1].owner.account_id} {page[-1].name}" if more else None


async def record_change(transaction: Transaction, context: CallContext, document: Mapping[str, Any]) -> None:
    """Keep for ever what a call set."""
    await transaction.execute(
        _RECORD,
        context.account_id,
        context.environment,
        context.call_id,
        context.application_id,
        context.occurred_at,
        msgspec.json.encode(document).decode(),
    )


async def last_changes(transaction: Transaction, owner: Owner) -> tuple[RuleChange, ...]:
    """The newest first."""
    rows = await transaction.fetch(_CHANGES, owner.account_id, owner.environment, _CHANGES_SHOWN)
    return tuple(
        RuleChange(
            call_id_text(row["call_id"]),
            row["application_id"],
            row["occurred_at"],
            msgspec.json.decode(row["document"]),
        )
        for row in rows
    )


def _replenishment(row: Mapping[str, Any]) -> Replenishment | None:
    if row["minimum"] is None:
        return None
    return Replenishment(
        row["minimum"], row["maximum"], row["pack_size"], row["minimum_order"], row["lead_time_days"]
    )
