"""An owner's rules: how warehouses are chosen, when orders wait, what is kept back, when to order, who else may use it."""

import msgspec
from msgspec.structs import replace

from atomic_services.contract import CallContext
from atomic_services.stock.levels import Owner
from atomic_services.stock.replenishment import smallest_order
from atomic_services.stock.rule_rows import (
    channels_of,
    last_changes,
    read_level_rules,
    record_change,
    set_channel,
    set_level_rules,
    set_policy,
)
from atomic_services.stock.rules_schema import ChannelState, HoldRule, SourcingRule
from atomic_services.stock.schema import ConfigureReply, ConfigureRequest
from atomic_services.stock.sourcing import Sourcing
from atomic_services.stock.terms import Channel, Policy, held_by_channel, read_channels, read_policies
from atomic_services.stock.together import bad_field


async def configure(request: ConfigureRequest, context: CallContext) -> ConfigureReply:
    """Set what is given, and answer the rules in force. What was sent is kept with the call that sent it."""
    _check(request)
    transaction, owner = context.unit_of_work(), Owner.of(context)
    policy = _with(request, (await read_policies(transaction, [owner]))[owner])
    document = {
        name: value
        for name, value in msgspec.to_builtins(request).items()
        if name not in ("skus", "channels_after") and value not in (None, [], ())
    }
    if document.keys() & {"sourcing", "hold", "promise_safety_stock"}:
        await set_policy(transaction, owner, policy)
    if request.levels:
        await set_level_rules(transaction, owner, request.levels)
    for index in sorted(range(len(request.channels)), key=lambda index: request.channels[index].channel):
        if not await set_channel(transaction, owner, request.channels[index]):
            raise bad_field(
                f"/channels/{index}/grantee",
                "another",
                "this channel was granted to another account: name a new one",
            )
    if document:
        await record_change(transaction, context, document)
    page, following = await channels_of(transaction, owner, request.channels_after)
    named = await read_channels(transaction, [(owner, one.channel) for one in request.channels])
    shown = named | {(one.owner, one.name): one for one in page}
    held = await held_by_channel(transaction, shown, context.occurred_at)
    states = [(shown[key], _state(shown[key], held.get(key, 0))) for key in sorted(shown)]
    return ConfigureReply(
        SourcingRule(policy.sourcing.rule, policy.sourcing.priority),
        HoldRule(policy.holds_orders, policy.hold_days),
        policy.promises_safety_stock,
        await read_level_rules(
            transaction, owner, sorted({*(request.skus or ()), *(one.sku for one in request.levels)})
        ),
        tuple(state for one, state in states if one.owner == owner),
        tuple(state for one, state in states if one.grantee_id == owner.account_id and one.owner != owner),
        await last_changes(transaction, owner),
        following,
    )


def _check(request: ConfigureRequest) -> None:
    keys = [(one.sku, one.warehouse) for one in request.levels]
    for index, (key, one) in enumerate(zip(keys, request.levels, strict=True)):
        if key in keys[:index]:
            raise bad_field(f"/levels/{index}", "once", "this SKU and warehouse stand in the list already")
        rule = one.replenishment
        if rule is None:
            continue
        order = smallest_order(rule.pack_size, rule.minimum_order)
        if rule.maximum - rule.minimum < order:
            raise bad_field(
                f"/levels/{index}/replenishment/maximum",
                "room",
                f"between minimum and maximum a smallest order of {order} units must fit",
            )
    names = [one.channel for one in request.channels]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise bad_field(f"/channels/{index}", "once", "this channel stands in the list already")


def _with(request: ConfigureRequest, policy: Policy) -> Policy:
    if request.sourcing is not None:
        policy = replace(policy, sourcing=Sourcing(request.sourcing.rule, request.sourcing.priority))
    if request.hold is not None:
        policy = replace(policy, holds_orders=request.hold.enabled, hold_days=request.hold.days)
    if request.promise_safety_stock is not None:
        policy = replace(policy, promises_safety_stock=request.promise_safety_stock)
    return policy


def _state(channel: Channel, held: int) -> ChannelState:
    return ChannelState(
        channel.owner.account_id,
        channel.name,
        channel.grantee_id,
        channel.skus,
        channel.warehouse,
        channel.quota,
        channel.sold,
        held,
        max(channel.quota - channel.sold - held, 0),
        channel.active,
    )
