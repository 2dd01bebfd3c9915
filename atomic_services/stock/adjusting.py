"""Changing what is on hand, for one call or many at once; what is reserved cannot be taken out."""

from collections.abc import Sequence

from atomic_services.contract import CallContext
from atomic_services.stock.fields import Line
from atomic_services.stock.levels import (
    Change,
    Level,
    Place,
    change_levels,
    ensure_levels,
    lock_levels,
)
from atomic_services.stock.refusals import short_line
from atomic_services.stock.schema import AdjustRequest, LevelReply
from atomic_services.stock.supplies import receive, supplies_known
from atomic_services.stock.together import Answers, alone, bad_field, caller_of, latest, one_by_one
from catalog.vocabulary.problem import BusinessRefusal


async def adjust_together(
    requests: Sequence[AdjustRequest], contexts: Sequence[CallContext]
) -> Answers[LevelReply]:
    """Change what is on hand. Units that are reserved cannot be taken out: insufficient-stock."""
    transaction, owner = contexts[0].unit_of_work(), caller_of(contexts)
    grown = {
        Place(owner, one.sku, one.warehouse)
        for one in requests
        if one.quantity > 0 and not one.moved and one.supply is None
    }
    if grown:
        await ensure_levels(transaction, grown)
    places = {Place(owner, one.sku, one.warehouse) for one in requests}
    levels = (await lock_levels(transaction, places, latest(contexts))).get(owner, {})
    named = [(one.sku, one.warehouse, one.supply) for one in requests if one.supply is not None]
    known = await supplies_known(transaction, owner, named) if named else set()
    changes: list[Change] = []
    received: list[tuple[str, str, str, int]] = []

    def decide(request: AdjustRequest, context: CallContext) -> LevelReply:
        _check(request)
        key = (request.sku, request.warehouse)
        if request.supply is not None and (*key, request.supply) not in known:
            raise bad_field(
                "/supply", "unknown", f"no supply {request.supply!r} is expected of this SKU there"
            )
        before = levels.get(key, Level(*key, 0, 0, 0))
        change = _change(request, context)
        after = change.applied_to(before)
        if after.available < 0 or after.quarantined < 0:
            raise _refused(request, before)
        levels[key] = after
        changes.append(change)
        if request.supply is not None:
            received.append((*key, request.supply, request.quantity))
        return level_reply(after)

    answers = one_by_one(decide, requests, contexts)
    if changes:
        await change_levels(transaction, owner, changes)
    if received:
        await receive(transaction, owner, received)
    return answers


adjust = alone(adjust_together)


def level_reply(level: Level) -> LevelReply:
    """A level as callers see it."""
    return LevelReply(
        level.sku,
        level.warehouse,
        level.on_hand,
        level.reserved,
        level.quarantined,
        level.available,
        level.safety_stock,
    )


def _check(request: AdjustRequest) -> None:
    if request.quantity == 0:
        raise bad_field(
            "/quantity", "not-zero", "an adjustment changes something: give a quantity other than 0"
        )
    if request.quantity < 0 and (request.moved or request.supply is not None):
        raise bad_field(
            "/quantity", "positive", "units that arrive or change their condition are a positive quantity"
        )
    if request.moved and request.supply is not None:
        raise bad_field(
            "/supply", "contradiction", "units of a supply are not on hand yet: leave out `moved`"
        )


def _change(request: AdjustRequest, context: CallContext) -> Change:
    units = request.quantity
    into_quarantine = units if request.condition == "quarantined" else -units if request.moved else 0
    return Change(
        (request.sku, request.warehouse),
        0 if request.moved else units,
        into_quarantine,
        request.reason,
        context.call_id,
        context.occurred_at,
    )


def _refused(request: AdjustRequest, before: Level) -> BusinessRefusal:
    takes_good = (request.condition == "good") != request.moved
    removable, name = (before.available, "good") if takes_good else (before.quarantined, "quarantined")
    line = Line(request.sku, abs(request.quantity), request.warehouse)
    return BusinessRefusal(
        "insufficient-stock",
        f"Only {removable} {name} units of {request.sku} in {request.warehouse} can be {'moved' if request.moved else 'taken out'}: "
        f"{before.on_hand} are on hand, {before.reserved} of them reserved and {before.quarantined} quarantined.",
        extra={"lines": [short_line(line, removable)]},
    )
