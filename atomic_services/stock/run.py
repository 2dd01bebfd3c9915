"""The operations of the stock service: each one a few statements in the call's own transaction."""

from collections.abc import Sequence
from datetime import timedelta

from msgspec.structs import replace

from atomic_services.contract import AtomicService, CallContext, Operation
from atomic_services.stock.allocation import Allotment, allot, draw
from atomic_services.stock.levels import (
    Level,
    Owner,
    change_on_hand,
    ensure_level,
    free_expired,
    lock_levels,
    read_levels,
)
from atomic_services.stock.reservations import (
    Ending,
    Reservation,
    extend_holds,
    find_reservation,
    hold,
    insert_reservation,
    settle,
)
from atomic_services.stock.schema import (
    AdjustRequest,
    AvailabilityReply,
    AvailabilityRequest,
    ConfirmRequest,
    ExtendRequest,
    LevelReply,
    Line,
    ReleaseRequest,
    ReservationReply,
    ReserveRequest,
    SkuTotal,
    State,
)
from atomic_services.stock.sweep import sweep
from catalog.vocabulary.problem import BusinessRefusal, CallerFault, FieldError


async def adjust(request: AdjustRequest, context: CallContext) -> LevelReply:
    """Change what is on hand. Units that are reserved cannot be taken out: insufficient-stock."""
    if request.quantity == 0:
        raise _bad_field(
            "/quantity", "not-zero", "an adjustment changes something: give a quantity other than 0"
        )
    transaction, owner = context.unit_of_work(), Owner.of(context)
    taken = Line(request.sku, abs(request.quantity), request.warehouse)
    await ensure_level(transaction, owner, request.sku, request.warehouse)
    locked = await lock_levels(transaction, owner, [taken])
    (before,) = (await free_expired(transaction, owner, locked, context.occurred_at)).values()
    after = await change_on_hand(
        transaction,
        owner,
        (request.sku, request.warehouse),
        request.quantity,
        condition=request.condition,
        reason=request.reason,
        call_id=context.call_id,
        moment=context.occurred_at,
    )
    if after is None:
        removable = before.available if request.condition == "good" else before.quarantined
        raise BusinessRefusal(
            "insufficient-stock",
            f"Only {removable} {request.condition} units can be taken out; {before.reserved} are reserved.",
            extra={"lines": [_short_line(taken, removable)]},
        )
    return _level_reply(after)


async def availability(request: AvailabilityRequest, context: CallContext) -> AvailabilityReply:
    """What is on hand, reserved and available at the moment of the call; it locks nothing."""
    skus = tuple(dict.fromkeys(request.skus))
    levels = await read_levels(context.unit_of_work(), Owner.of(context), skus, context.occurred_at)
    return AvailabilityReply(
        tuple(_total(sku, [level for level in levels if level.sku == sku]) for sku in skus),
        tuple(_level_reply(level) for level in levels),
        context.occurred_at,
    )


async def reserve(request: ReserveRequest, context: CallContext) -> ReservationReply:
    """Hold the lines until `ttl_s` from now. The same request again, while held, has the same answer and no effect."""
    transaction, owner, moment = context.unit_of_work(), Owner.of(context), context.occurred_at
    expires_at = moment + timedelta(seconds=request.ttl_s)
    if not await insert_reservation(transaction, owner, request, moment, expires_at):
        return await _repeated(request, context)
    locked = await lock_levels(transaction, owner, request.lines)
    levels = await free_expired(transaction, owner, locked, moment)
    allotment = allot(request.lines, {key: level.available for key, level in levels.items()})
    reserved = sum(share.quantity for share in allotment.shares)
    if reserved < sum(line.quantity for line in request.lines) and not (request.partial and reserved):
        raise _insufficient(request.lines, allotment)
    made = Reservation.made_by(request, allotment.shares, expires_at)
    await hold(transaction, owner, made, call_id=context.call_id, moment=moment)
    return made.reply("reserved")


async def confirm(request: ConfirmRequest, context: CallContext) -> ReservationReply:
    """Take the units out of the stock: all, or those of `lines`, and then the rest is released."""
    reservation = await _found(request.reservation_id, context)
    state = reservation.state_at(context.occurred_at)
    if state not in ("reserved", "confirmed"):
        raise _closed(state)
    quantities = _confirmed_quantities(request, reservation)
    if state == "reserved":
        return await _settled(reservation, quantities, "confirmed", context)
    if quantities != tuple(line.confirmed for line in reservation.lines):
        raise _closed(state)
    return reservation.reply(state)


async def release(request: ReleaseRequest, context: CallContext) -> ReservationReply:
    """Give the units back. Nothing happens to a reservation that is released or has expired already."""
    reservation = await _found(request.reservation_id, context)
    state = reservation.state_at(context.occurred_at)
    if state == "confirmed":
        raise _closed(state)
    if state == "reserved":
        return await _settled(reservation, (0,) * len(reservation.lines), "released", context)
    return reservation.reply(state)


async def extend(request: ExtendRequest, context: CallContext) -> ReservationReply:
    """Hold the units until `ttl_s` from now, or until when they were held already if that is later."""
    transaction, owner = context.unit_of_work(), Owner.of(context)
    reservation = await _found(request.reservation_id, context)
    state = reservation.state_at(context.occurred_at)
    if state != "reserved":
        raise _closed(state)
    expires_at = max(reservation.expires_at, context.occurred_at + timedelta(seconds=request.ttl_s))
    await lock_levels(transaction, owner, reservation.held())
    if not await extend_holds(transaction, owner, reservation, expires_at):
        raise _closed("expired")
    return replace(reservation, expires_at=expires_at).reply(state)


async def _found(reservation_id: str, context: CallContext) -> Reservation:
    reservation = await find_reservation(context.unit_of_work(), Owner.of(context), reservation_id)
    if reservation is None:
        raise CallerFault("reservation-not-found", f"There is no reservation {reservation_id!r}.")
    return reservation


async def _repeated(request: ReserveRequest, context: CallContext) -> ReservationReply:
    reservation = await _found(request.reservation_id, context)
    if not reservation.asks_for(request):
        raise BusinessRefusal(
            "reservation-exists",
            f"{request.reservation_id!r} was made with other lines or another `partial`.",
        )
    state = reservation.state_at(context.occurred_at)
    if state != "reserved":
        raise _closed(state)
    return reservation.reply(state)


def _confirmed_quantities(request: ConfirmRequest, reservation: Reservation) -> tuple[int, ...]:
    held = [line.share for line in reservation.lines]
    if request.lines is None:
        return tuple(share.quantity for share in held)
    drawn = draw(request.lines, held)
    if drawn.short is not None:
        line = request.lines[drawn.short]
        raise _bad_field(
            f"/lines/{drawn.short}",
            "not-reserved",
            f"the reservation holds fewer than {line.quantity} of {line.sku} here",
        )
    return drawn.quantities


async def _settled(
    reservation: Reservation, confirmed: tuple[int, ...], state: Ending, context: CallContext
) -> ReservationReply:
    transaction, owner = context.unit_of_work(), Owner.of(context)
    await lock_levels(transaction, owner, reservation.held())
    ended = reservation.ended(confirmed, state)
    # A call whose clock is ahead of this one's may have freed a line since; then nothing of this may stay.
    if not await settle(transaction, owner, ended, call_id=context.call_id, moment=context.occurred_at):
        raise _closed("expired")
    return ended.reply(state)


def _closed(state: State) -> BusinessRefusal:
    return BusinessRefusal("reservation-closed", f"The reservation is {state}.", extra={"state": state})


def _bad_field(pointer: str, rule: str, detail: str) -> CallerFault:
    return CallerFault("invalid-input", f"{pointer}: {detail}.", errors=(FieldError(pointer, rule, detail),))


def _insufficient(lines: Sequence[Line], allotment: Allotment) -> BusinessRefusal:
    obtainable = allotment.obtainable(lines)
    short = sum(units < line.quantity for line, units in zip(lines, obtainable, strict=True))
    return BusinessRefusal(
        "insufficient-stock",
        f"{short} of {len(lines)} lines cannot be reserved in full.",
        extra={"lines": [_short_line(line, units) for line, units in zip(lines, obtainable, strict=True)]},
    )


def _short_line(line: Line, available: int) -> dict[str, str | int | None]:
    return {
        "sku": line.sku,
        "warehouse": line.warehouse,
        "quantity": line.quantity,
        "available": available,
    }


def _level_reply(level: Level) -> LevelReply:
    return LevelReply(
        level.sku, level.warehouse, level.on_hand, level.reserved, level.quarantined, level.available
    )


def _total(sku: str, levels: Sequence[Level]) -> SkuTotal:
    return SkuTotal(
        sku,
        sum(level.on_hand for level in levels),
        sum(level.reserved for level in levels),
        sum(level.quarantined for level in levels),
        sum(level.available for level in levels),
    )


SERVICE = AtomicService(
    name="stock",
    operations={
        "adjust": Operation(AdjustRequest, LevelReply, adjust),
        "availability": Operation(AvailabilityRequest, AvailabilityReply, availability),
        "reserve": Operation(ReserveRequest, ReservationReply, reserve),
        "confirm": Operation(ConfirmRequest, ReservationReply, confirm),
        "release": Operation(ReleaseRequest, ReservationReply, release),
        "extend": Operation(ExtendRequest, ReservationReply, extend),
    },
    sweep=sweep,
)
