"""Confirming, releasing and extending, for one call or many at once: each hold ends once, one way."""

from collections.abc import Sequence
from datetime import timedelta

from msgspec.structs import replace

from atomic_services.contract import CallContext
from atomic_services.stock.allocation import draw
from atomic_services.stock.reservation_rows import (
    Deed,
    end_reservations,
    extend_reservations,
    find_reservations,
    lock_held,
)
from atomic_services.stock.reservations import Reservation
from atomic_services.stock.schema import ConfirmRequest, ExtendRequest, ReleaseRequest, ReservationReply
from atomic_services.stock.together import Answers, alone, bad_field, caller_of, one_by_one
from catalog.vocabulary.problem import CallerFault

AnyRequest = ConfirmRequest | ExtendRequest | ReleaseRequest


async def confirm_together(
    requests: Sequence[ConfirmRequest], contexts: Sequence[CallContext]
) -> Answers[ReservationReply]:
    """Take the units out of the stock: all, or those of `lines`, and then the rest is released."""
    found, deeds = await _locked(requests, contexts), list[Deed]()

    def decide(request: ConfirmRequest, context: CallContext) -> ReservationReply:
        reservation = _known(found, request)
        state = reservation.state_at(context.occurred_at)
        if state not in ("reserved", "confirmed"):
            raise reservation.closed(state)
        quantities = _confirmed_quantities(request, reservation)
        if state == "reserved":
            return _change(found, deeds, reservation.ended(quantities, "confirmed"), context)
        if quantities != tuple(line.confirmed for line in reservation.lines):
            raise reservation.closed(state)
        return reservation.reply(state, context.account_id)

    answers = one_by_one(decide, requests, contexts)
    if deeds:
        await end_reservations(contexts[0].unit_of_work(), caller_of(contexts), deeds)
    return answers


async def release_together(
    requests: Sequence[ReleaseRequest], contexts: Sequence[CallContext]
) -> Answers[ReservationReply]:
    """Give the units back. Nothing happens to a reservation that is released or has expired already."""
    found, deeds = await _locked(requests, contexts), list[Deed]()

    def decide(request: ReleaseRequest, context: CallContext) -> ReservationReply:
        reservation = _known(found, request)
        state = reservation.state_at(context.occurred_at)
        if state == "confirmed":
            raise reservation.closed(state)
        if state == "reserved":
            nothing = (0,) * len(reservation.lines)
            return _change(found, deeds, reservation.ended(nothing, "released"), context)
        return reservation.reply(state, context.account_id)

    answers = one_by_one(decide, requests, contexts)
    if deeds:
        await end_reservations(contexts[0].unit_of_work(), caller_of(contexts), deeds)
    return answers


async def extend_together(
    requests: Sequence[ExtendRequest], contexts: Sequence[CallContext]
) -> Answers[ReservationReply]:
    """Hold the units until `ttl_s` from now, or until when they were held already if that is later."""
    found, deeds = await _locked(requests, contexts), list[Deed]()

    def decide(request: ExtendRequest, context: CallContext) -> ReservationReply:
        reservation = _known(found, request)
        state = reservation.state_at(context.occurred_at)
        if state != "reserved":
            raise reservation.closed(state)
        expires_at = max(reservation.expires_at, context.occurred_at + timedelta(seconds=request.ttl_s))
        return _change(found, deeds, replace(reservation, expires_at=expires_at), context)

    answers = one_by_one(decide, requests, contexts)
    if deeds:
        await extend_reservations(contexts[0].unit_of_work(), caller_of(contexts), deeds)
    return answers


confirm, release, extend = alone(confirm_together), alone(release_together), alone(extend_together)


async def _locked(requests: Sequence[AnyRequest], contexts: Sequence[CallContext]) -> dict[str, Reservation]:
    transaction, caller = contexts[0].unit_of_work(), caller_of(contexts)
    ids = [request.reservation_id for request in requests]
    found = await find_reservations(transaction, caller, ids, lock=True)
    return await lock_held(transaction, caller, found)


def _known(found: dict[str, Reservation], request: AnyRequest) -> Reservation:
    reservation = found.get(request.reservation_id)
    if reservation is None:
        raise CallerFault("reservation-not-found", f"There is no reservation {request.reservation_id!r}.")
    return reservation


def _change(
    found: dict[str, Reservation], deeds: list[Deed], changed: Reservation, context: CallContext
) -> ReservationReply:
    """Note what is to be written; a later call of the group meets the reservation as it is then."""
    found[changed.id] = changed
    deeds.append((changed, context))
    return changed.reply(changed.stored_state, context.account_id)


def _confirmed_quantities(request: ConfirmRequest, reservation: Reservation) -> tuple[int, ...]:
    held = [line.share for line in reservation.lines]
    if request.lines is None:
        return tuple(share.quantity for share in held)
    drawn = draw(request.lines, held)
    if drawn.short is not None:
        line = request.lines[drawn.short]
        raise bad_field(
            f"/lines/{drawn.short}",
            "not-reserved",
            f"the reservation holds fewer than {line.quantity} of {line.sku} here",
        )
    return drawn.quantities
