"""Reservations: what one holds or held, and what it looks like to its caller. Pure; the rows are reservation_rows."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from atomic_services.stock.allocation import Share
from atomic_services.stock.fields import Line, State
from atomic_services.stock.levels import Owner
from atomic_services.stock.schema import Allocation, ReservationReply, ReservedLine, ReserveRequest, Sourced
from atomic_services.stock.terms import ChannelKey
from catalog.vocabulary.problem import BusinessRefusal

Ending = Literal["confirmed", "released"]


class HeldLine(msgspec.Struct, frozen=True):
    """A share as it is stored: its state and, once confirmed, how much of it left the stock."""

    share: Share
    confirmed: int
    state: Literal["held", "expired"] | Ending


class Reservation(msgspec.Struct, frozen=True):
    """A reservation, whose stock it uses, what it asked for and what it holds or held."""

    id: str
    owner: Owner
    channel: str | None
    stored_state: Literal["reserved"] | Ending
    expires_at: datetime
    partial: bool
    requested: tuple[Line, ...]
    sourcing: Sourced | None
    lines: tuple[HeldLine, ...]

    @classmethod
    def made_by(
        cls,
        request: ReserveRequest,
        owner: Owner,
        shares: Sequence[Share],
        sourcing: Sourced,
        expires_at: datetime,
    ) -> "Reservation":
        """The reservation that a request makes of these shares."""
        return cls(
            request.reservation_id,
            owner,
            request.channel,
            "reserved",
            expires_at,
            request.partial,
            request.lines,
            sourcing,
            tuple(HeldLine(share, 0, "held") for share in shares),
        )

    @property
    def channel_key(self) -> ChannelKey | None:
        """The channel that it uses."""
        return None if self.channel is None else (self.owner, self.channel)

    def ended(self, confirmed: Sequence[int], state: Ending) -> "Reservation":
        """The same with every hold ended: `confirmed` units of each line have left the stock, the rest is free."""
        lines = tuple(
            HeldLine(line.share, units, "confirmed" if units else "released")
            for line, units in zip(self.lines, confirmed, strict=True)
        )
        return msgspec.structs.replace(self, stored_state=state, lines=lines)

    def state_at(self, moment: datetime) -> State:
        """Its state at a moment; a line that a call with a later clock has freed already is as good as the time."""
        if self.stored_state != "reserved":
            return self.stored_state
        if self.expires_at <= moment or any(line.state == "expired" for line in self.lines):
            return "expired"
        return "reserved"

    def asks_for(self, request: ReserveRequest, owner: Owner) -> bool:
        """Whether a request is the one that made this reservation; the order of its lines and its ttl do not count."""
        return (self.owner, self.channel, self.partial, _sorted(self.requested)) == (
            owner,
            request.channel,
            request.partial,
            _sorted(request.lines),
        )

    def closed(self, state: State) -> BusinessRefusal:
        """It holds nothing any more."""
        return BusinessRefusal("reservation-closed", f"The reservation is {state}.", extra={"state": state})

    def reply(self, state: State, account_id: str) -> ReservationReply:
        """The reservation as its caller sees it."""
        return ReservationReply(
            self.id,
            state,
            self.expires_at,
            tuple(_reply_line(line, position, self, state) for position, line in enumerate(self.requested)),
            None if self.owner.account_id == account_id else self.owner.account_id,
            self.channel,
            self.sourcing,
        )


def _sorted(lines: Sequence[Line]) -> list[tuple[str, str, int]]:
    return sorted((line.sku, line.warehouse or "", line.quantity) for line in lines)


def _reply_line(line: Line, position: int, reservation: Reservation, state: State) -> ReservedLine:
    allocations = tuple(
        Allocation(part.share.warehouse, part.share.quantity if state == "reserved" else 0, part.confirmed)
        for part in reservation.lines
        if part.share.position == position
    )
    return ReservedLine(
        line.sku,
        line.quantity,
        line.warehouse,
        sum(part.reserved for part in allocations),
        sum(part.confirmed for part in allocations),
        allocations,
    )
