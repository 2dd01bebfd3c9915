"""Reserving, for one call or many at once: the rows are locked together, each call is decided in turn, all is written."""

from collections.abc import Sequence
from datetime import timedelta

from atomic_services.contract import CallContext
from atomic_services.stock.allocation import Allotment, allot
from atomic_services.stock.desk import Desk, open_desk
from atomic_services.stock.fields import LINES_MAX, QUANTITY_MAX
from atomic_services.stock.levels import Level, Owner, Place, lock_levels
from atomic_services.stock.refusals import HeldBack, insufficient, orders_held, quota_exceeded
from atomic_services.stock.reservation_rows import Deed, find_reservations, make_reservations
from atomic_services.stock.reservations import Reservation
from atomic_services.stock.schema import ReservationReply, ReserveRequest, Sourced
from atomic_services.stock.terms import check_granted
from atomic_services.stock.together import Answers, alone, caller_of, latest, one_by_one
from catalog.vocabulary.problem import BusinessRefusal


async def reserve_together(
    requests: Sequence[ReserveRequest], contexts: Sequence[CallContext]
) -> Answers[ReservationReply]:
    """Hold the lines until `ttl_s` from now. The same request again, while held, has the same answer and no effect.

    However many the calls, about five statements: whoever asks for the same article waits once, and not for each.
    """
    transaction, caller, moment = contexts[0].unit_of_work(), caller_of(contexts), latest(contexts)
    places = {
        Place(_owner(request, caller), line.sku, line.warehouse)
        for request in requests
        for line in request.lines
    }
    levels = await lock_levels(transaction, places, moment)
    owners = {_owner(request, caller) for request in requests}
    channels = {
        (_owner(request, caller), request.channel) for request in requests if request.channel is not None
    }
    desk = await open_desk(transaction, levels, owners, channels, moment)
    # Looked up under the locks of the levels, so that a repetition finds the reservation that it repeats.
    known = await find_reservations(transaction, caller, [request.reservation_id for request in requests])
    made: dict[str, Deed] = {}

    def decide(request: ReserveRequest, context: CallContext) -> ReservationReply:
        earlier = known.get(request.reservation_id)
        if earlier is not None:
            return _repeated(request, earlier, context)
        new = _decided(request, context, desk)
        known[new.id], made[new.id] = new, (new, context)
        return new.reply("reserved", caller.account_id)

    answers = one_by_one(decide, requests, contexts)
    if not made:
        return answers
    taken = made.keys() - await make_reservations(transaction, caller, list(made.values()))
    if not taken:
        return answers
    # Somebody took the id for other lines at the same moment: what they asked for decides what these calls are.
    found = await find_reservations(transaction, caller, sorted(taken))
    again = one_by_one(
        lambda request, context: _repeated(request, found[request.reservation_id], context),
        [request for request in requests if request.reservation_id in taken],
        [
            context
            for request, context in zip(requests, contexts, strict=True)
            if request.reservation_id in taken
        ],
    )
    late = iter(again)
    return [
        next(late) if request.reservation_id in taken else answer
        for request, answer in zip(requests, answers, strict=True)
    ]


reserve = alone(reserve_together)


def _owner(request: ReserveRequest, caller: Owner) -> Owner:
    return Owner(request.owner or caller.account_id, caller.environment)


def _repeated(request: ReserveRequest, earlier: Reservation, context: CallContext) -> ReservationReply:
    if not earlier.asks_for(request, Owner.of(context, request.owner)):
        raise BusinessRefusal(
            "reservation-exists",
            f"{request.reservation_id!r} was made with other lines, another `partial` or another channel.",
        )
    state = earlier.state_at(context.occurred_at)
    if state != "reserved":
        raise earlier.closed(state)
    return earlier.reply(state, context.account_id)


def _decided(request: ReserveRequest, context: CallContext, desk: Desk) -> Reservation:
    """Allot the lines as the owner's rules say, and count the units as taken; or the refusal."""
    owner, today = Owner.of(context, request.owner), context.occurred_at.date()
    channel = None if request.channel is None else desk.channels.get((owner, request.channel))
    check_granted(channel, owner, request.channel, context.account_id, request.lines)
    policy = desk.policies[owner]
    levels = desk.levels(owner, (line.sku for line in request.lines), channel)
    held = desk.held_back(owner, levels, today)
    free = {
        (level.sku, level.warehouse): 0 if level in held else max(policy.promisable(level), 0)
        for level in levels
    }
    allotment = allot(request.lines, free, policy.sourcing)
    wanted = sum(line.quantity for line in request.lines)
    most, key = LINES_MAX * QUANTITY_MAX, None
    if channel is not None:
        key = (owner, channel.name)
        most = desk.left[key]
        if not most or (most < wanted and not request.partial):
            raise quota_exceeded(channel, wanted, most)
        allotment = allotment.at_most(most)
    if allotment.units < wanted and not (request.partial and allotment.units):
        raise _held_or_short(request, context, allotment, held, desk, most)
    desk.take(owner, key, allotment.shares)
    sourced = Sourced(policy.sourcing.rule, allotment.why)
    expires_at = context.occurred_at + timedelta(seconds=request.ttl_s)
    return Reservation.made_by(request, owner, allotment.shares, sourced, expires_at)


def _held_or_short(
    request: ReserveRequest,
    context: CallContext,
    allotment: Allotment,
    held: Sequence[Level],
    desk: Desk,
    most: int,
) -> BusinessRefusal:
    """The lines that wait, or, if no line of those that are short does, what is there of each: at most `most`."""
    owner, today = Owner.of(context, request.owner), context.occurred_at.date()
    obtainable = [min(units, most) for units in allotment.obtainable(request.lines)]
    waiting = [
        (index, line, HeldBack(level, desk.next_supply(owner, level, today)))
        for index, (line, units) in enumerate(zip(request.lines, obtainable, strict=True))
        if units < line.quantity
        for level in held
        if level.sku == line.sku and line.warehouse in (None, level.warehouse)
    ]
    if not waiting:
        return insufficient(request.lines, obtainable)
    days = desk.policies[owner].hold_days
    return orders_held(waiting, today, days, to_owner=owner.account_id == context.account_id)
