"""Of which grants reported usage takes: all of it, and none is overdrawn as long as another has room."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from billing.lease.reported_credit import Charged, Room, share_out

SEPTEMBER_1 = datetime(2026, 9, 1, tzinfo=UTC)
DAY = timedelta(days=1)
AMOUNTS = st.integers(0, 300).map(lambda cents: Decimal(cents) / 100)
MOMENTS = st.integers(0, 60).map(lambda days: SEPTEMBER_1 + days * DAY)


@st.composite
def rooms(draw: st.DrawFn) -> list[Room]:
    made = []
    for number in range(draw(st.integers(0, 4))):
        valid_from = draw(MOMENTS)
        lasts = draw(st.none() | st.integers(1, 40))
        made.append(
            Room(number, draw(AMOUNTS), valid_from, None if lasts is None else valid_from + lasts * DAY)
        )
    return made


CHARGES = st.lists(
    st.builds(Charged, st.sampled_from([date(2026, 9, 1), date(2026, 10, 1)]), MOMENTS, AMOUNTS.filter(bool))
)


@given(rooms(), CHARGES, MOMENTS)
def test_all_that_was_used_is_taken_and_nothing_is_overdrawn_as_long_as_a_grant_has_room(
    free: Sequence[Room], charges: Sequence[Charged], now: datetime
) -> None:
    before = {room.id: room.left for room in free}
    could = [one for one in charges if any(room.is_valid(one.moment) or room.is_valid(now) for room in free)]
    taken: Mapping[tuple[int, date], Decimal] = share_out(free, charges, now)
    assert sum(taken.values()) == sum(one.amount for one in could)
    assert all(amount > 0 for amount in taken.values())
    for room in free:
        of_it = sum((amount for (one, _), amount in taken.items() if one == room.id), Decimal(0))
        assert room.left == before[room.id] - of_it
        if room.left < 0 and room.is_valid(now):
            assert all(other.left <= 0 for other in free if other.is_valid(now))
