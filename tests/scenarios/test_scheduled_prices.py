"""A price that is scheduled: what is charged until it begins, and what becomes of it when something else is published."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic_services.registry import built_in_passports
from billing.invoice.parts import Life, shares
from catalog.load import PriceVersion, load, timeline
from catalog.plan import parse_price
from catalog.registry import audit
from catalog.registry.published import catalogue, price_versions
from catalog.vocabulary.clock import from_ns, to_ns
from catalog.vocabulary.period import Period
from tests.passports import echo_passport, plan
from tests.scenarios.test_publishing import NOW, published, transaction

DECEMBER = "2026-12-01"
SERVICES = built_in_passports()
ZONES = ("UTC", "Asia/Shanghai", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago")


async def _publish(
    pool: asyncpg.Pool, unit_price: str, effective_from: str = "2026-01-01", *, at: datetime = NOW
) -> tuple[str, ...]:
    offered = echo_passport(plans=[plan("standard", unit_price=unit_price, effective_from=effective_from)])
    return (await published(pool, offered, now=at)).new_prices


async def _charge(pool: asyncpg.Pool, moment: datetime, zone: str = "UTC") -> str | None:
    async with transaction(pool) as connection:
        operation = (await catalogue(connection)).operations["/v1/echo/echo"]
    price = operation.price_at("standard", "CNY", zone, to_ns(moment))
    return None if price is None else price.one_call


async def _coming(pool: asyncpg.Pool, moment: datetime) -> str | None:
    async with transaction(pool) as connection:
        operation = (await catalogue(connection)).operations["/v1/echo/echo"]
    price = operation.next_price("standard", "CNY", "UTC", to_ns(moment))
    return None if price is None else price.one_call


def _hours(number: int) -> datetime:
    return NOW + timedelta(hours=number)


async def test_todays_price_can_change_while_another_one_is_scheduled(gateway_pool: asyncpg.Pool) -> None:
    await _publish(gateway_pool, "0.085")
    await _publish(gateway_pool, "0.095", DECEMBER, at=_hours(1))
    assert (await _charge(gateway_pool, _hours(1)), await _coming(gateway_pool, _hours(1))) == (
        "0.085 CNY",
        "0.095 CNY",
    )
    assert await _publish(gateway_pool, "0.080", "2025-01-01", at=_hours(2)) == ("echo/standard/echo/CNY@3",)
    assert await _charge(gateway_pool, _hours(2) - timedelta(microseconds=1)) == "0.085 CNY"
    assert await _charge(gateway_pool, _hours(2)) == "0.08 CNY"
    assert await _coming(gateway_pool, _hours(2)) is None
    assert await _charge(gateway_pool, datetime(2027, 1, 1, tzinfo=UTC)) == "0.08 CNY"


async def test_publishing_todays_price_again_takes_the_scheduled_one_back(gateway_pool: asyncpg.Pool) -> None:
    await _publish(gateway_pool, "0.085")
    await _publish(gateway_pool, "0.095", DECEMBER)
    assert await _publish(gateway_pool, "0.085", at=_hours(1)) == ("echo/standard/echo/CNY@3",)
    assert await _charge(gateway_pool, datetime(2027, 1, 1, tzinfo=UTC)) == "0.085 CNY"
    assert await _coming(gateway_pool, _hours(1)) is None


async def test_a_schedule_can_be_taken_back_and_made_again(gateway_pool: asyncpg.Pool) -> None:
    await _publish(gateway_pool, "0.085")
    await _publish(gateway_pool, "0.095", DECEMBER)
    await _publish(gateway_pool, "0.090", at=_hours(1))
    assert await _publish(gateway_pool, "0.095", DECEMBER, at=_hours(2)) == ("echo/standard/echo/CNY@4",)
    assert await _charge(gateway_pool, _hours(2)) == "0.09 CNY"
    assert await _charge(gateway_pool, datetime(2026, 12, 1, tzinfo=UTC)) == "0.095 CNY"
    assert await _charge(gateway_pool, datetime(2026, 11, 30, 16, tzinfo=UTC), "Asia/Shanghai") == "0.095 CNY"


@pytest.mark.parametrize("day", ["2026-11-01", "2027-02-01"])
async def test_a_schedule_is_moved_by_publishing_it_with_another_day(
    gateway_pool: asyncpg.Pool, day: str
) -> None:
    await _publish(gateway_pool, "0.085")
    await _publish(gateway_pool, "0.095", DECEMBER)
    assert await _publish(gateway_pool, "0.095", day, at=_hours(1)) == ("echo/standard/echo/CNY@3",)
    starts = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC)
    assert await _charge(gateway_pool, starts - timedelta(microseconds=1)) == "0.085 CNY"
    assert await _charge(gateway_pool, starts) == "0.095 CNY"


async def test_a_price_that_stands_with_nothing_scheduled_keeps_its_version(
    gateway_pool: asyncpg.Pool,
) -> None:
    await _publish(gateway_pool, "0.085")
    assert await _publish(gateway_pool, "0.085", DECEMBER) == ()


async def test_a_schedule_that_is_published_again_as_it_is_keeps_its_version(
    gateway_pool: asyncpg.Pool,
) -> None:
    await _publish(gateway_pool, "0.085")
    await _publish(gateway_pool, "0.095", DECEMBER)
    terms = echo_passport(
        plans=[plan("standard", unit_price="0.095", effective_from=DECEMBER)],
        limits=[{"kind": "rate", "per": "application", "q": 7, "w": 1}],
    )
    done = await published(gateway_pool, terms, now=_hours(1))
    assert (done.revision, done.new_prices) == (3, ())


async def test_what_an_earlier_release_left_waiting_begins_when_its_passport_is_published_again(
    gateway_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    await _publish(gateway_pool, "0.085")
    await _publish(gateway_pool, "0.080", at=_hours(1))
    await admin.execute("ALTER TABLE catalog.price_version DISABLE TRIGGER USER")
    await admin.execute(
        "UPDATE catalog.price_version SET effective_from = '2026-11-30T10:00:00Z', effective_on = '2026-12-01', "
        "supersedes_after = NULL WHERE version = 2"
    )
    await admin.execute("ALTER TABLE catalog.price_version ENABLE TRIGGER USER")
    assert await _charge(gateway_pool, _hours(2)) == "0.085 CNY"
    assert await _publish(gateway_pool, "0.080", at=_hours(2)) == ("echo/standard/echo/CNY@3",)
    assert await _charge(gateway_pool, _hours(2)) == "0.08 CNY"
    assert await _publish(gateway_pool, "0.080", at=_hours(3)) == ()


async def test_what_was_superseded_stays_on_record(gateway_pool: asyncpg.Pool) -> None:
    for number, (price, day) in enumerate(
        (("0.085", "2026-01-01"), ("0.095", DECEMBER), ("0.08", "2026-01-01"))
    ):
        await _publish(gateway_pool, price, day, at=_hours(number))
    async with transaction(gateway_pool) as connection:
        versions = await price_versions(connection)
        assert (await audit.verify(connection)).is_sound
        entries = await connection.fetch("SELECT detail->'new_prices' AS new FROM catalog.audit ORDER BY seq")
    assert [(one.version, one.effective_on) for one in versions] == [
        (1, date(2026, 1, 1)),
        (2, date(2026, 12, 1)),
        (3, date(2026, 1, 1)),
    ]
    assert [one["new"] for one in entries] == [f'["echo/standard/echo/CNY@{number}"]' for number in (1, 2, 3)]


async def test_a_clock_that_goes_back_never_reprices_what_has_happened(gateway_pool: asyncpg.Pool) -> None:
    await _publish(gateway_pool, "0.085")
    await _publish(gateway_pool, "0.090", at=_hours(2))
    await _publish(gateway_pool, "0.095", at=_hours(1))
    assert [await _charge(gateway_pool, _hours(hour)) for hour in (1, 2, 3)] == [
        "0.085 CNY",
        "0.09 CNY",
        "0.095 CNY",
    ]


def _version(number: int, begins_on: date, at: datetime, *, supersedes: bool = True) -> PriceVersion:
    earliest = datetime.combine(begins_on, datetime.min.time(), UTC) - timedelta(hours=14)
    return PriceVersion(
        f"bench/plan/echo/CNY@{number}",
        "bench",
        "plan",
        "bench/echo",
        "CNY",
        number,
        max(earliest, at) if number > 1 else earliest,
        "success",
        "flat",
        parse_price("flat", {"amount": "1"}),
        begins_on,
        at if supersedes else None,
    )


_PUBLICATIONS = st.lists(
    st.tuples(st.dates(date(2028, 1, 1), date(2028, 3, 31)), st.integers(0, 60 * 24)), min_size=1, max_size=6
)


def _published_one_after_the_other(publications: Sequence[tuple[date, int]]) -> list[PriceVersion]:
    ordered = sorted(minutes for _, minutes in publications)
    return [
        _version(
            number, day, datetime(2028, 1, 10, tzinfo=UTC) + timedelta(hours=minutes, microseconds=number)
        )
        for number, ((day, _), minutes) in enumerate(zip(publications, ordered, strict=True), 1)
    ]


@given(_PUBLICATIONS, st.sampled_from(ZONES), st.integers(0, 90 * 24))
def test_days_are_counted_for_the_version_that_calls_are_priced_with(
    publications: list[tuple[date, int]], zone: str, hour: int
) -> None:
    versions = _published_one_after_the_other(publications)
    moment = to_ns(datetime(2028, 1, 1, tzinfo=UTC) + timedelta(hours=hour))
    operation = load(SERVICES, versions).operations["/v1/bench/echo"]
    charged = operation.price_at("plan", "CNY", zone, moment)
    begun = [one for one in timeline(versions, zone) if one.begins_ns(zone) <= moment]
    assert (charged and charged.id) == (begun[-1].id if begun else None)


@given(_PUBLICATIONS, st.sampled_from(ZONES))
def test_a_publication_never_changes_the_price_of_an_earlier_moment(
    publications: list[tuple[date, int]], zone: str
) -> None:
    versions = _published_one_after_the_other(publications)
    for count in range(1, len(versions)):
        published_ns = to_ns(versions[count].supersedes_after or NOW)
        before, after = (
            [(one.id, one.begins_ns(zone)) for one in timeline(versions[:end], zone)]
            for end in (count, count + 1)
        )
        assert [one for one in before if one[1] < published_ns] == [
            one for one in after if one[1] < published_ns
        ]


@given(_PUBLICATIONS, st.sampled_from(ZONES))
def test_at_most_one_price_is_scheduled_and_it_is_the_newest(
    publications: list[tuple[date, int]], zone: str
) -> None:
    versions = _published_one_after_the_other(publications)
    published_ns = to_ns(versions[-1].supersedes_after or NOW)
    # The day of a schedule begins somewhere on earth first; from then on it is a price like any other.
    day_ns = 27 * 3_600 * 1_000_000_000
    coming = [one for one in timeline(versions, zone) if one.begins_ns(zone) > published_ns + day_ns]
    assert coming in ([], [versions[-1]])


def test_versions_from_before_this_rule_stand_as_they_were_published() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    days = (date(2025, 1, 1), date(2026, 10, 11), date(2026, 10, 21))
    versions = [_version(number, day, at, supersedes=False) for number, day in enumerate(days, 1)]
    held = shares(versions, Period(2026, 10), "UTC", None)
    assert held == {one.id: Fraction(days, 31) for one, days in zip(versions, (10, 10, 11), strict=True)}


def test_who_keeps_a_moments_prices_is_not_concerned_by_what_was_scheduled_then() -> None:
    first, scheduled = _version(1, date(2026, 1, 1), NOW), _version(2, date(2026, 10, 16), NOW)
    taken_back = _version(3, date(2026, 1, 1), _hours(3))
    kept = Life(datetime(2026, 1, 1, tzinfo=UTC), None, _hours(1))
    october = Period(2026, 10)
    assert shares([first, scheduled], october, "UTC", kept) == {first.id: 1}
    assert shares([first, scheduled, taken_back], october, "UTC", kept) == {first.id: 1}
    assert shares([first, scheduled, taken_back], october, "UTC", None) == {first.id: 0, taken_back.id: 1}
    assert from_ns(first.begins_ns("UTC")) == datetime(2026, 1, 1, tzinfo=UTC)
