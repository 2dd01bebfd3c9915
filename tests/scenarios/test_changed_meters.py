"""A unit is part of its price: where the code counts calls otherwise, every price of the operation begins anew."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import asyncpg
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.invoice.close import close
from billing.invoice.document import Document, document
from billing.invoice.month import Month
from billing.invoice.parts import Life, shares
from billing.invoice.simulate import simulate
from billing.rebuild import verify
from billing.transaction import all_accounts
from catalog.load import AppliedPrice, PublishedOperation, load
from catalog.passport import Passport
from catalog.plan import parse_plan
from catalog.registry import audit
from catalog.registry.price_changes import price_changes, sentence
from catalog.registry.prices import NewPrice, _changed
from catalog.registry.publish import Publication, publish_built_in
from catalog.registry.published import catalogue, price_versions
from catalog.vocabulary.clock import ManualClock, to_ns
from catalog.vocabulary.period import Period, day_starts_ns
from catalog.vocabulary.problem import Problem
from deploy.migrate import migrate
from tests.databases import DatabaseServer
from tests.older_databases import older_database
from tests.passports import echo_document, echo_passport, plan
from tests.scenarios.test_publishing import NOW, operation, published, transaction
from tests.usage_books import add_account, call, use

LATER = NOW + timedelta(days=1)
OCTOBER = Period(2026, 10)
CLOSED = ManualClock(datetime(2026, 11, 2, tzinfo=UTC))
BY_CALL, BY_LINE = {"unit": "call"}, {"items": "/lines"}
GRADUATED = {
    "tiers": [
        {"up_to": "10", "unit_price": "1", "flat_fee": "0"},
        {"up_to": None, "unit_price": "0.5", "flat_fee": "0"},
    ]
}


def by_line(**fields: Any) -> Passport:
    """The next version of the code, which counts lines."""
    return echo_passport(version="1.1.0", operations=operation(meter=BY_LINE), **fields)


async def started(pool: asyncpg.Pool, passport: Passport, now: datetime = NOW) -> tuple[Publication, ...]:
    async with transaction(pool) as connection:
        return await publish_built_in(connection, [passport], "ordergate", now)


async def on_sale(pool: asyncpg.Pool) -> PublishedOperation:
    async with transaction(pool) as connection:
        return (await catalogue(connection)).operations["/v1/echo/echo"]


async def charged(pool: asyncpg.Pool, moment: datetime, zone: str = "UTC", plan_id: str = "standard") -> str:
    """The charge of a unit and what a unit is."""
    price = (await on_sale(pool)).price_at(plan_id, "CNY", zone, to_ns(moment))
    assert price is not None
    return f"{price.one_call} / {price.meter}"


async def test_another_unit_is_another_price_from_the_start_that_counts_it(
    gateway_pool: asyncpg.Pool,
) -> None:
    """Gcore, November 2024: a unit was changed under a running price, and old usage was priced in the new one."""
    await started(gateway_pool, echo_passport())
    (done,) = await started(gateway_pool, by_line(), LATER)
    assert (done.version, done.new_prices) == ("1.1.0", ("echo/standard/echo/CNY@2",))
    assert await charged(gateway_pool, LATER - timedelta(microseconds=1)) == "0.05 CNY / unit call"
    assert await charged(gateway_pool, LATER) == "0.05 CNY / items /lines"
    assert await started(gateway_pool, by_line(), LATER + timedelta(days=1)) == ()
    async with transaction(gateway_pool) as connection:
        assert (await audit.verify(connection)).is_sound
        detail = await connection.fetchval("SELECT detail FROM catalog.audit ORDER BY seq DESC LIMIT 1")
        versions = await price_versions(connection)
    assert msgspec.json.decode(detail)["new_prices"] == ["echo/standard/echo/CNY@2"]
    (change,) = price_changes(versions, [one for one in versions if one.version == 2])
    assert sentence(change) == (
        "echo/echo, plan standard: 0.05 CNY -> 0.05 CNY from now (2026-06-16 10:30:00 Z), "
        "counting items /lines instead of unit call"
    )


async def test_what_is_kept_of_a_call_besides_is_no_unit(gateway_pool: asyncpg.Pool) -> None:
    await started(gateway_pool, echo_passport())
    kept = operation(meter={**BY_CALL, "dimensions": {"origin": "/origin"}})
    (done,) = await started(gateway_pool, echo_passport(version="1.1.0", operations=kept), LATER)
    assert done.new_prices == ()


async def test_an_operators_publication_of_another_unit_and_another_price_is_one_version(
    gateway_pool: asyncpg.Pool,
) -> None:
    await published(gateway_pool, echo_passport())
    dearer = by_line(plans=[plan("standard", unit_price="0.06")])
    done = await published(gateway_pool, dearer, built_in=by_line(), now=LATER)
    assert done.new_prices == ("echo/standard/echo/CNY@2",)
    again = await published(gateway_pool, dearer, built_in=by_line(), now=LATER + timedelta(days=1))
    assert not again.changed
    assert await charged(gateway_pool, LATER) == "0.06 CNY / items /lines"


async def test_a_scheduled_price_stays_scheduled_and_both_count_the_new_unit(
    gateway_pool: asyncpg.Pool,
) -> None:
    await started(gateway_pool, echo_passport())
    dearer = echo_passport(plans=[plan("standard", unit_price="0.06", effective_from="2026-07-01")])
    await published(gateway_pool, dearer, now=NOW + timedelta(hours=1))
    (done,) = await started(gateway_pool, by_line(), LATER)
    assert done.new_prices == ("echo/standard/echo/CNY@3", "echo/standard/echo/CNY@4")
    assert await charged(gateway_pool, LATER) == "0.05 CNY / items /lines"
    # Midnight of July 1 in Shanghai.
    july = datetime(2026, 6, 30, 16, tzinfo=UTC)
    earlier = july - timedelta(seconds=1)
    assert await charged(gateway_pool, earlier, "Asia/Shanghai") == "0.05 CNY / items /lines"
    assert await charged(gateway_pool, july, "Asia/Shanghai") == "0.06 CNY / items /lines"
    assert await started(gateway_pool, by_line(), LATER + timedelta(days=1)) == ()


async def test_while_a_day_has_begun_in_the_east_only_everybody_goes_over_at_their_own_price(
    gateway_pool: asyncpg.Pool,
) -> None:
    await started(gateway_pool, echo_passport())
    dearer = echo_passport(plans=[plan("standard", unit_price="0.06", effective_from="2026-07-01")])
    await published(gateway_pool, dearer, now=LATER)
    dawn = datetime(2026, 6, 30, 20, tzinfo=UTC)
    (done,) = await started(gateway_pool, by_line(), dawn)
    assert len(done.new_prices) == 2
    assert await charged(gateway_pool, dawn, "Asia/Shanghai") == "0.06 CNY / items /lines"
    assert await charged(gateway_pool, dawn, "UTC") == "0.05 CNY / items /lines"
    assert await charged(gateway_pool, datetime(2026, 7, 1, tzinfo=UTC), "UTC") == "0.06 CNY / items /lines"


async def test_a_plan_that_is_no_longer_offered_goes_over_as_well(gateway_pool: asyncpg.Pool) -> None:
    both = [plan("standard"), plan("old", unit_price="0.01")]
    await published(gateway_pool, echo_passport(plans=both))
    await published(gateway_pool, echo_passport())
    (done,) = await started(gateway_pool, by_line(), LATER)
    assert set(done.new_prices) == {"echo/standard/echo/CNY@2", "echo/old/echo/CNY@2"}
    assert await charged(gateway_pool, LATER, plan_id="old") == "0.01 CNY / items /lines"


async def test_a_kept_price_goes_over_to_what_its_plan_had_when_the_unit_changed(
    gateway_pool: asyncpg.Pool,
) -> None:
    """And keeps that: nobody agreed on a price of the new unit earlier."""
    await started(gateway_pool, echo_passport())
    raised = [
        (NOW + timedelta(days=number), echo_passport(plans=[plan("standard", unit_price=f"0.0{number}")]))
        for number in (6, 7)
    ]
    for moment, passport in raised:
        await published(gateway_pool, passport, now=moment)
    changed = NOW + timedelta(days=8)
    await started(gateway_pool, by_line(), changed)
    after = changed + timedelta(days=1)
    dearer = by_line(plans=[plan("standard", unit_price="0.09")])
    await published(gateway_pool, dearer, built_in=by_line(), now=after)
    sold, kept = await on_sale(gateway_pool), NOW + timedelta(days=6)

    def paid(moment: datetime, kept_at: datetime) -> str | None:
        price = sold.price_at("standard", "CNY", "UTC", to_ns(moment), to_ns(kept_at))
        return None if price is None else price.one_call

    assert paid(changed - timedelta(seconds=1), kept) == "0.06 CNY"
    assert paid(changed, kept) == paid(after, kept) == "0.07 CNY"
    assert paid(after, after) == paid(after, after + timedelta(days=1)) == "0.09 CNY"
    async with transaction(gateway_pool) as connection:
        versions = await price_versions(connection)
    life = Life(datetime(2026, 1, 1, tzinfo=UTC), None, kept)
    held = shares(versions, Period(2026, 6), "UTC", life)
    # Begun by the day before the month, on the 21st of June, and on the 23rd.
    assert {id_.partition("@")[2]: share * 30 for id_, share in held.items() if share} == {
        "1": 20,
        "2": 2,
        "4": 8,
    }


_ZONES = ("UTC", "Asia/Shanghai", "Pacific/Kiritimati", "Pacific/Pago_Pago")
_METERS = (BY_CALL, BY_LINE, {"value": "/reply/a"})


@cache
def _offered(price: int, day: date, meter: int) -> Passport:
    plans = [plan("standard", unit_price=f"0.0{price}", effective_from=day.isoformat())]
    return echo_passport(plans=plans, operations=operation(meter=_METERS[meter]))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 40),
            st.integers(1, 3),
            st.dates(date(2026, 6, 10), date(2026, 6, 20)),
            st.integers(0, 2),
        ),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(_ZONES),
)
def test_whatever_is_published_when_a_price_is_of_the_unit_that_is_counted(
    publications: list[tuple[int, int, date, int]], zone: str
) -> None:
    """At every moment after a publication; no moment before it is priced otherwise than it was, and who published a day
    and a price gets both."""
    standing: list[NewPrice] = []
    now = datetime(2026, 6, 10, tzinfo=UTC)

    def paid(moment: datetime) -> AppliedPrice | None:
        found = load([passport], (one.version for one in standing)).operations["/v1/echo/echo"]
        return found.price_at("standard", "CNY", zone, to_ns(moment))

    for hours, price, day, meter in publications:
        now += timedelta(hours=hours, minutes=1)
        passport = _offered(price, day, meter)
        moments = [now - timedelta(hours=back, minutes=1) for back in range(0, 240, 7)]
        before = [paid(moment) for moment in moments]
        in_force = paid(now)
        key = ("standard", "echo/echo", "CNY")
        new = list(_changed(passport, {key: standing} if standing else {}, now))
        standing += new
        assert list(_changed(passport, {key: standing}, now + timedelta(seconds=1))) == []
        if in_force is not None:
            assert [paid(moment) for moment in moments] == before
        at_once = paid(now + timedelta(seconds=1))
        if in_force is not None and to_ns(now) < day_starts_ns(day, zone):
            assert at_once is not None
            assert at_once.one_call == in_force.one_call, "until its day it costs what it did"
        for later in range(0, 400, 5):
            found = paid(now + timedelta(hours=later, seconds=1))
            assert found is None or found.meter == passport.operations[0].meter.quantity
        last = paid(datetime(2026, 7, 1, tzinfo=UTC))
        assert last is not None
        assert last.one_call == f"0.0{price} CNY"


# --- on bills


async def _sold(admin: asyncpg.Connection, *versions: tuple[str, dict[str, Any], str | None]) -> None:
    """Versions of one price, each of a model, a price and a meter, from October 1, 11 and 21 on."""
    await add_account(admin, "acct_a")
    for number, (model, price, meter) in enumerate(versions):
        await admin.execute(
            "INSERT INTO catalog.price_version (id, service, plan_id, audience, operation, currency, version, effective_from, "
            "effective_on, billable_on, model, price, published_at, meter) "
            "VALUES ($1, 'address', 'plan', 'both', 'address/validate', 'CNY', $2, '2026-01-01', $3, 'success', $4, $5, now(), $6)",
            f"v{number + 1}",
            number + 1,
            date(2026, 10, 1 + 10 * number),
            model,
            msgspec.json.encode(price).decode(),
            meter,
        )


async def _closed(pool: asyncpg.Pool, *units: str) -> Document:
    for number, counted in enumerate(units):
        moment = datetime(2026, 10, 5 + 10 * number, tzinfo=UTC)
        await use(pool, [call("acct_a", moment, price_version=f"v{number + 1}", units=counted)])
    await close(pool, OCTOBER, CLOSED)
    assert await verify(pool, ()) == []
    async with all_accounts(pool) as connection:
        return await document(connection, Month("acct_a", "live", OCTOBER))


def _amounts(found: Document) -> Sequence[str]:
    return [line.amount for line in found.lines]


@pytest.mark.parametrize(
    ("meters", "amounts"),
    [
        # The second and third go on where the first left the quantity: 8, then 2 and 6 halves, then 4 halves.
        (("unit call", "unit call", "unit call"), ["8.00", "5.00", "2.00"]),
        ((None, "unit call", None), ["8.00", "5.00", "2.00"]),
        # Another unit begins its own tiers, and who counts the first one again goes on with that.
        (("unit call", "items /lines", "items /lines"), ["8.00", "8.00", "3.00"]),
        (("unit call", "items /lines", "unit call"), ["8.00", "8.00", "3.00"]),
    ],
)
async def test_tiers_go_on_with_quantities_of_their_own_unit_only(
    admin: asyncpg.Connection,
    billing_pool: asyncpg.Pool,
    meters: Sequence[str | None],
    amounts: Sequence[str],
) -> None:
    await _sold(admin, *(("graduated", GRADUATED, meter) for meter in meters))
    assert _amounts(await _closed(billing_pool, "8", "8", "4")) == amounts


async def test_free_events_are_those_of_one_value(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    share = {"rate_pct": "10", "free_events": 1}
    metered = ("value /reply/a", "value /reply/a", "value /reply/b")
    await _sold(admin, *(("percentage", share, meter) for meter in metered))
    assert _amounts(await _closed(billing_pool, "100", "100", "100")) == ["0.00", "10.00", "0.00"]


async def test_a_capacity_is_judged_by_units_of_one_kind(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    tiers = {"tiers": [{"max": {"units": "10"}, "price": "31"}, {"max": None, "price": "310"}]}
    await _sold(admin, *(("capacity", tiers, meter) for meter in ("unit call", "items /lines")))
    # 6 calls and 8 lines are not 14 of anything: 31 days of the lowest tier.
    assert _amounts(await _closed(billing_pool, "6", "8")) == ["10.00", "21.00"]


async def test_a_draft_is_not_tried_on_what_was_counted_otherwise(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    """How many of its units these calls would have been was never counted."""
    await _sold(admin, *(("graduated", GRADUATED, meter) for meter in ("unit call", "items /lines")))
    await admin.execute(
        "INSERT INTO catalog.subscription (id, account_id, service, plan_id, starts_at) "
        "VALUES ('sub_acct_a', 'acct_a', 'address', 'plan', '2026-01-01')"
    )
    await use(billing_pool, [call("acct_a", datetime(2026, 10, 15, tzinfo=UTC), price_version="v2")])

    async def drafted(plan_id: str) -> str:
        prices = [{"operation": "validate", "currency": "CNY", "model": "graduated", "price": GRADUATED}]
        terms = {"audience": "both", "effective_from": "2027-01-01", "billable_on": "success"}
        draft = parse_plan({"id": plan_id, **terms, "prices": prices})
        async with all_accounts(billing_pool) as connection:
            found = await simulate(
                connection, "address", [draft], OCTOBER, "live", meters={"validate": "items /lines"}
            )
        return found.lines[0].effect.draft.amount

    assert await drafted("plan") == "1.00"
    await use(billing_pool, [call("acct_a", datetime(2026, 10, 5, tzinfo=UTC), price_version="v1")])
    assert await drafted("another") == "2.00", "what the draft does not price costs what it costs"
    with pytest.raises(
        Problem, match="counted by `unit call`, and the draft's price counts by `items /lines`"
    ) as refused:
        await drafted("plan")
    assert [error.rule for error in refused.value.errors] == ["recounted"]


# --- of an installation that is older


async def test_an_upgrade_knows_what_the_prices_on_sale_count(database_server: DatabaseServer) -> None:
    """So that the next change of a unit shows; a price of an operation that is gone counts what nobody knows."""
    async with older_database(database_server, "before_meters", "0038") as database:
        owner = await asyncpg.connect(**database.admin())
        document_ = {**echo_document(), "operations": operation(meter=BY_LINE)}
        for revision, kept in enumerate((echo_document(), document_), 1):
            await owner.execute(
                "INSERT INTO catalog.passport (service, revision, version, document, interface_digest, published_at, published_by) "
                "VALUES ('echo', $1, '1.0.0', $2, '', now(), 'x')",
                revision,
                msgspec.json.encode(kept).decode(),
            )
        for operation_ in ("echo", "gone"):
            await owner.execute(
                "INSERT INTO catalog.price_version (id, service, plan_id, audience, operation, currency, version, "
                "effective_from, billable_on, model, price, published_at) "
                "VALUES ($1, 'echo', 'standard', 'both', 'echo/' || $1, 'CNY', 1, now(), 'success', 'per_unit', '{}', now())",
                operation_,
            )
        await migrate(database)
        rows = await owner.fetch("SELECT id, meter FROM catalog.price_version ORDER BY id")
        assert [tuple(row) for row in rows] == [("echo", "items /lines"), ("gone", None)]
        with pytest.raises(asyncpg.RestrictViolationError):
            await owner.execute("UPDATE catalog.price_version SET meter = NULL")
        await owner.close()
