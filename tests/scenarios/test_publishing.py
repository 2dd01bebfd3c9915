"""Publishing: code owns the interface, the registry owns the terms, and prices never change behind anybody's back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from catalog.passport import Passport, PassportRefused, check_passport
from catalog.registry import audit
from catalog.registry.publish import Publication, publish, publish_built_in
from catalog.registry.published import catalogue, current, history, price_versions
from catalog.vocabulary.clock import to_ns
from catalog.vocabulary.problem import Problem
from tests.passports import echo_document, echo_passport, plan

NOW = datetime(2026, 6, 15, 10, 30, tzinfo=UTC)
ACTOR = "operator@tests"


@asynccontextmanager
async def transaction(pool: asyncpg.Pool) -> AsyncIterator[Any]:
    async with pool.acquire() as connection, connection.transaction():
        yield connection


async def published(
    pool: asyncpg.Pool, passport: Passport, *, built_in: Passport | None = None, now: datetime = NOW
) -> Publication:
    async with transaction(pool) as connection:
        return await publish(connection, passport, built_in or echo_passport(), ACTOR, now)


async def rows(admin: asyncpg.Connection, table: str) -> int:
    count: int = await admin.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - a constant
    return count


async def test_a_publication_is_on_sale_with_its_price_from_the_plans_first_day(
    gateway_pool: asyncpg.Pool,
) -> None:
    done = await published(gateway_pool, echo_passport())
    assert done == Publication("echo", "1.0.0", 1, changed=True, new_prices=("echo/standard/echo/CNY@1",))
    async with transaction(gateway_pool) as connection:
        on_sale = await catalogue(connection)
    operation = on_sale.operations["/v1/echo/echo"]
    first_moment = to_ns(datetime(2026, 1, 1, tzinfo=UTC))
    assert operation.price_at("standard", "CNY", "UTC", first_moment - 1) is None
    price = operation.price_at("standard", "CNY", "UTC", first_moment)
    assert price is not None
    assert price.id == "echo/standard/echo/CNY@1"


async def test_publishing_the_same_document_again_writes_nothing(
    gateway_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    await published(gateway_pool, echo_passport())
    again = await published(gateway_pool, echo_passport(), now=NOW + timedelta(days=1))
    assert again == Publication("echo", "1.0.0", 1, changed=False)
    assert [await rows(admin, f"catalog.{table}") for table in ("passport", "price_version", "audit")] == [
        1,
        1,
        1,
    ]


async def test_new_terms_are_a_new_revision_and_unchanged_prices_keep_their_version(
    gateway_pool: asyncpg.Pool,
) -> None:
    await published(gateway_pool, echo_passport())
    terms = echo_passport(limits=[{"kind": "rate", "per": "application", "q": 7, "w": 1}])
    assert await published(gateway_pool, terms) == Publication("echo", "1.0.0", 2, changed=True)
    async with transaction(gateway_pool) as connection:
        assert [(one.revision, one.published_by) for one in await history(connection, "echo")] == [
            (2, ACTOR),
            (1, ACTOR),
        ]
        assert (await current(connection))["echo"].passport == terms


async def test_a_price_change_starts_now_and_never_reprices_what_has_happened(
    gateway_pool: asyncpg.Pool,
) -> None:
    await published(gateway_pool, echo_passport())
    dearer = echo_passport(plans=[plan("standard", unit_price="0.06")])
    done = await published(gateway_pool, dearer)
    assert done.new_prices == ("echo/standard/echo/CNY@2",)
    async with transaction(gateway_pool) as connection:
        operation = (await catalogue(connection)).operations["/v1/echo/echo"]
    before = operation.price_at("standard", "CNY", "UTC", to_ns(NOW) - 1000)
    after = operation.price_at("standard", "CNY", "UTC", to_ns(NOW))
    assert before is not None
    assert after is not None
    assert (before.id, after.id) == ("echo/standard/echo/CNY@1", "echo/standard/echo/CNY@2")


async def test_an_announced_price_change_waits_for_its_day_and_a_later_one_replaces_it(
    gateway_pool: asyncpg.Pool,
) -> None:
    await published(gateway_pool, echo_passport())
    for price in ("0.06", "0.07"):
        await published(
            gateway_pool,
            echo_passport(plans=[plan("standard", unit_price=price, effective_from="2027-01-01")]),
        )
    async with transaction(gateway_pool) as connection:
        operation = (await catalogue(connection)).operations["/v1/echo/echo"]
    # The day begins when it begins on the payer's calendar.
    for timezone, hours in (
        ("Asia/Shanghai", -8),
        ("UTC", 0),
        ("Pacific/Pago_Pago", 11),
        ("Pacific/Kiritimati", -14),
    ):
        day = to_ns(datetime(2027, 1, 1, tzinfo=UTC) + timedelta(hours=hours))
        before = operation.price_at("standard", "CNY", timezone, day - 1_000)
        after = operation.price_at("standard", "CNY", timezone, day + 1_000)
        assert before is not None
        assert after is not None
        assert (before.id, after.id) == ("echo/standard/echo/CNY@1", "echo/standard/echo/CNY@3")


@pytest.mark.parametrize("change", [{"audience": "internal"}, {"billable_on": "accepted"}])
async def test_audience_and_what_is_billable_are_part_of_a_price(
    gateway_pool: asyncpg.Pool, change: dict[str, str]
) -> None:
    await published(gateway_pool, echo_passport())
    done = await published(gateway_pool, echo_passport(plans=[plan("standard", **change)]))
    assert done.new_prices == ("echo/standard/echo/CNY@2",)


async def test_two_services_may_have_plans_of_the_same_name(gateway_pool: asyncpg.Pool) -> None:
    await published(gateway_pool, echo_passport())
    other = echo_passport(service="mirror")
    done = await published(gateway_pool, other, built_in=other)
    assert done.new_prices == ("mirror/standard/echo/CNY@1",)


async def test_whoever_publishes_at_the_same_time_gets_revisions_of_their_own(
    gateway_pool: asyncpg.Pool,
) -> None:
    passports = [echo_passport(plans=[plan("standard", unit_price=f"0.0{n}")]) for n in range(1, 5)]
    done = await asyncio.gather(*(published(gateway_pool, passport) for passport in passports))
    assert sorted(one.revision for one in done) == [1, 2, 3, 4]
    async with transaction(gateway_pool) as connection:
        starts = [version.effective_from for version in await price_versions(connection)]
        assert (await audit.verify(connection)).is_sound
    assert starts == sorted(set(starts))


def operation(**fields: Any) -> list[dict[str, Any]]:
    return [{**echo_document()["operations"][0], **fields}]


@pytest.mark.parametrize(
    ("passport", "pointer", "rule", "remedy"),
    [
        (echo_passport(version="1.1.0"), "/version", "interface", "this installation runs version 1.0.0"),
        (
            echo_passport(operations=operation(effect="transactional")),
            "/operations/0/effect",
            "interface",
            'write "none"',
        ),
        (echo_passport(lifecycle="draft"), "/lifecycle", "lifecycle", "can become published or deprecated"),
        (
            echo_passport(
                plans=[
                    plan("standard"),
                    plan(
                        "result",
                        prices=[
                            {
                                "operation": "echo",
                                "currency": "CNY",
                                "model": "outcome",
                                "price": {"rate_pct": "5", "of": "/reply/saving"},
                            }
                        ],
                    ),
                ]
            ),
            "/plans/1/prices/0/price/of",
            "not-metered",
            "Leave `of` out where you state the results yourself",
        ),
    ],
    ids=["version", "effect", "draft", "price that calls cannot carry"],
)
async def test_a_bad_passport_changes_nothing_and_says_field_rule_and_remedy(
    gateway_pool: asyncpg.Pool,
    admin: asyncpg.Connection,
    passport: Passport,
    pointer: str,
    rule: str,
    remedy: str,
) -> None:
    with pytest.raises(PassportRefused) as refused:
        await published(gateway_pool, passport)
    (error,) = refused.value.errors
    assert (error.pointer, error.rule) == (pointer, rule)
    assert remedy in error.detail
    assert [await rows(admin, f"catalog.{table}") for table in ("passport", "price_version", "audit")] == [
        0,
        0,
        0,
    ]


async def test_a_passport_without_code_is_refused(gateway_pool: asyncpg.Pool) -> None:
    with pytest.raises(PassportRefused, match="this installation has no service 'echo'"):
        async with transaction(gateway_pool) as connection:
            await publish(connection, echo_passport(), None, ACTOR, NOW)


async def test_a_service_is_retired_only_after_the_sunset_that_callers_were_told(
    gateway_pool: asyncpg.Pool,
) -> None:
    deprecated = echo_passport(
        lifecycle={"deprecated": {"deprecation": "2026-06-15", "sunset": "2026-12-31"}}
    )
    retired = echo_passport(lifecycle="retired")
    await published(gateway_pool, echo_passport())
    with pytest.raises(
        PassportRefused, match="a service that is published can become published or deprecated"
    ):
        await published(gateway_pool, retired)
    await published(gateway_pool, deprecated)
    with pytest.raises(PassportRefused, match="promised the service until 2026-12-31"):
        await published(gateway_pool, retired, now=datetime(2026, 12, 30, tzinfo=UTC))
    await published(gateway_pool, retired, now=datetime(2026, 12, 31, tzinfo=UTC))
    async with transaction(gateway_pool) as connection:
        assert (await catalogue(connection)).operations == {}


async def test_history_of_an_unknown_service_says_where_to_look(gateway_pool: asyncpg.Pool) -> None:
    with pytest.raises(Problem, match="ordergate services"):
        async with transaction(gateway_pool) as connection:
            await history(connection, "nothing")


# --- start-up


async def started(pool: asyncpg.Pool, *passports: Passport) -> tuple[Publication, ...]:
    async with transaction(pool) as connection:
        return await publish_built_in(connection, passports, "ordergate", NOW)


async def test_a_first_start_publishes_what_the_code_came_with_and_a_second_one_nothing(
    gateway_pool: asyncpg.Pool,
) -> None:
    assert [done.service for done in await started(gateway_pool, echo_passport())] == ["echo"]
    assert await started(gateway_pool, echo_passport()) == ()


async def test_a_start_never_overwrites_terms_that_the_registry_owns(gateway_pool: asyncpg.Pool) -> None:
    await started(gateway_pool, echo_passport())
    own_terms = echo_passport(plans=[plan("standard", unit_price="9.99")])
    await published(gateway_pool, own_terms)
    assert await started(gateway_pool, echo_passport(plans=[plan("standard", unit_price="0.01")])) == ()
    async with transaction(gateway_pool) as connection:
        assert (await current(connection))["echo"].passport == own_terms


async def test_a_new_interface_of_the_code_takes_over_under_the_terms_of_the_registry(
    gateway_pool: asyncpg.Pool,
) -> None:
    await started(gateway_pool, echo_passport())
    await published(gateway_pool, echo_passport(plans=[plan("standard", unit_price="9.99")]))
    (done,) = await started(
        gateway_pool, echo_passport(version="1.1.0", operations=operation(personal_data=[]))
    )
    assert (done.version, done.revision, done.new_prices) == ("1.1.0", 3, ())
    async with transaction(gateway_pool) as connection:
        now_on_sale = (await current(connection))["echo"].passport
    assert now_on_sale.operations[0].personal_data == ()
    assert now_on_sale.plans[0]["prices"][0]["price"] == {"unit_price": "9.99"}


# --- the audit log


async def test_publications_are_in_a_log_that_shows_any_change(
    gateway_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    await published(gateway_pool, echo_passport())
    await published(gateway_pool, echo_passport(plans=[plan("standard", unit_price="1")]))
    async with transaction(gateway_pool) as connection:
        sound = await audit.verify(connection)
    assert (sound.entries, sound.is_sound) == (2, True)
    await admin.execute("ALTER TABLE catalog.audit DISABLE TRIGGER append_only")
    for statement, broken_at, reason in (
        ("UPDATE catalog.audit SET actor = 'nobody' WHERE seq = 1", 1, "the entry was altered"),
        ("DELETE FROM catalog.audit WHERE seq = 1", 1, "the entry is missing"),
        (
            "UPDATE catalog.audit SET seq = 1, previous = hash WHERE seq = 2",
            1,
            "the entry continues another one",
        ),
    ):
        await admin.execute(statement)
        async with transaction(gateway_pool) as connection:
            found = await audit.verify(connection)
        assert (found.broken_at, found.reason) == (broken_at, reason)


async def test_nobody_can_change_what_was_published(
    gateway_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    await published(gateway_pool, echo_passport())
    for table in ("passport", "price_version", "audit"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await admin.execute(f"DELETE FROM catalog.{table}")  # noqa: S608 - a constant
        async with gateway_pool.acquire() as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"DELETE FROM catalog.{table}")  # noqa: S608 - a constant


async def test_what_is_stored_reads_back_as_the_same_passport(
    gateway_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    examples = [{"name": {"en": "Numbers"}, "request": {"a": 1.5, "b": [None, True], "c": "数"}, "reply": {}}]
    passport = echo_passport(operations=operation(examples=examples))
    await published(gateway_pool, passport)
    stored = await admin.fetchval("SELECT document FROM catalog.passport")
    assert check_passport(msgspec.json.decode(stored)) == passport
