"""Of which grants reported usage takes: all of it, and none is overdrawn as long as another has room. Which get it back."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from billing.lease.credit_shares import Charged, Room, share_back, share_out

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


@given(rooms(), CHARGES, MOMENTS, AMOUNTS)
def test_what_comes_back_was_taken_and_comes_back_first_where_it_can_be_spent(
    free: Sequence[Room], charges: Sequence[Charged], now: datetime, amount: Decimal
) -> None:
    taken = share_out(free, charges, now)
    before = {room.id: room.left for room in free}
    month = date(2026, 10, 1)
    back = share_back(free, taken, {month: amount}, now)
    of_month = {one: part for (one, of), part in taken.items() if of == month}
    assert sum(back.values()) == min(amount, sum(of_month.values()))
    assert all(key[1] == month and 0 < part <= taken[key] for key, part in back.items())
    assert all(room.left - before[room.id] == back.get((room.id, month), 0) for room in free)
    # Whatever is still taken of a grant, all those before which it gets its part have got theirs.
    places = [
        *(one for one in reversed(free) if one.is_valid(now)),
        *(one for one in reversed(free) if not one.is_valid(now)),
    ]
    left = [of_month.get(room.id, Decimal(0)) - back.get((room.id, month), Decimal(0)) for room in places]
    got = [back.get((room.id, month), Decimal(0)) for room in places]
    assert all(not any(left[:place]) for place, part in enumerate(got) if part)


@given(rooms(), CHARGES, MOMENTS)
def test_what_was_taken_comes_back_whole(
    free: Sequence[Room], charges: Sequence[Charged], now: datetime
) -> None:
    before = [room.left for room in free]
    taken = share_out(free, charges, now)
    months = {month for _, month in taken}
    whole = {
        month: sum((part for (_, of), part in taken.items() if of == month), Decimal(0)) for month in months
    }
    assert share_back(free, taken, whole, now) == taken
    assert [room.left for room in free] == before
