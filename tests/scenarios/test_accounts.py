"""Accounts: opened so that they can call, refused with field, rule and remedy, and blind to each other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict, cast

import asyncpg
import pytest

from catalog.accounts.account import Account, create_account, find_account, list_accounts
from catalog.accounts.application import (
    create_application,
    create_cost_centre,
    find_application,
    list_applications,
    list_cost_centres,
)
from catalog.accounts.billing_profile import BillingProfile, set_billing_profile
from catalog.accounts.offer import Offer, offers
from catalog.accounts.open import OpenedAccount, open_account
from catalog.accounts.subscription import end_subscription, list_subscriptions, subscribe
from catalog.outbox import announce
from catalog.passport import Passport
from catalog.registry import audit
from catalog.registry.publish import publish
from catalog.vocabulary.problem import Problem
from tests.passports import echo_passport, plan

NOW = datetime(2026, 6, 15, 10, 30, tzinfo=UTC)
ACTOR = "operator@tests"
TERMS: dict[str, Any] = {"kind": "internal", "currency": "CNY", "timezone": "Asia/Shanghai"}


class By(TypedDict):
    """Who does it, and when."""

    actor: str
    now: datetime


BY: By = {"actor": ACTOR, "now": NOW}
PLANS = [
    plan("inside", audience="internal"),
    plan("outside", audience="external"),
    plan("abroad", currency="USD"),
    plan("next-year", effective_from="2027-01-01"),
]


@asynccontextmanager
async def scope(pool: asyncpg.Pool, account: str = "*") -> AsyncIterator[Any]:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('ordergate.account', $1, true)", account)
        yield connection


async def on_sale(pool: asyncpg.Pool, *passports: Passport) -> None:
    async with scope(pool) as connection:
        for passport in passports:
            await publish(connection, passport, passport, ACTOR, NOW)


async def opened(pool: asyncpg.Pool, name: str = "bu-01", **fields: Any) -> OpenedAccount:
    async with scope(pool) as connection:
        return await open_account(connection, **{"name": name, **TERMS, **BY, **fields})


async def test_a_new_account_can_call_every_public_service_that_has_a_plan_for_it(
    gateway_pool: asyncpg.Pool,
) -> None:
    await on_sale(
        gateway_pool,
        echo_passport(plans=PLANS),
        echo_passport(service="group", visibility="group"),
        echo_passport(service="hidden", visibility="private"),
    )
    inside = await opened(gateway_pool)
    outside = await opened(gateway_pool, "d-01", kind="external")
    abroad = await opened(gateway_pool, "d-27", kind="external", currency="USD")
    nowhere = await opened(gateway_pool, "d-32", kind="external", currency="AED")
    assert [
        [(one.service, one.plan_id) for one in account.subscriptions]
        for account in (inside, outside, abroad, nowhere)
    ] == [[("echo", "inside"), ("group", "standard")], [("echo", "outside")], [("echo", "abroad")], []]
    async with scope(gateway_pool) as connection:
        assert await find_account(connection, "bu-01") == inside.account
        assert await find_account(connection, inside.account.id) == inside.account
        assert await find_application(connection, inside.account, "default") == inside.application
        assert await list_subscriptions(connection, inside.account) == inside.subscriptions
        assert [account.name for account in await list_accounts(connection)] == [
            "bu-01",
            "d-01",
            "d-27",
            "d-32",
        ]


@pytest.mark.parametrize(
    ("fields", "pointer", "rule", "remedy"),
    [
        ({"name": ""}, "/name", "length", "1 to 80"),
        ({"name": "n" * 81}, "/name", "length", "1 to 80"),
        ({"name": " bu"}, "/name", "form", "without blanks"),
        ({"name": "e\u0301t\u00e9"}, "/name", "form", "NFC"),
        ({"name": "b\u202eu"}, "/name", "characters", "visible"),
        ({"name": "acct_1"}, "/name", "reserved", "ids do"),
        ({"kind": "partner"}, "/kind", "kind", "internal, external, platform"),
        ({"currency": "RMB"}, "/currency", "currency", "ISO 4217"),
        ({"currency": "XAU"}, "/currency", "currency", "minor unit"),
        ({"timezone": "Beijing"}, "/timezone", "timezone", "Asia/Shanghai"),
    ],
)
async def test_an_account_is_refused_with_field_rule_and_remedy(
    fields: dict[str, str], pointer: str, rule: str, remedy: str
) -> None:
    with pytest.raises(Problem) as refused:
        await create_account(cast("Any", _NoDatabase()), **{"name": "bu-01", **TERMS, **BY, **fields})
    (error,) = refused.value.errors
    assert (refused.value.type.name, error.pointer, error.rule) == ("invalid-input", pointer, rule)
    assert remedy in error.detail


class _NoDatabase:
    """Input is judged before the database is asked."""

    def is_in_transaction(self) -> bool:
        return True


async def test_a_name_is_taken_once(gateway_pool: asyncpg.Pool) -> None:
    account = (await opened(gateway_pool, "沁源饮品")).account
    with pytest.raises(Problem, match="choose another name") as taken:
        await opened(gateway_pool, "沁源饮品")
    assert taken.value.type.name == "conflict"
    async with scope(gateway_pool) as connection:
        with pytest.raises(Problem, match="has an application 'default' already"):
            await create_application(connection, account, "default", **BY)
        centre = await create_cost_centre(connection, account, "电商平台", **BY)
        with pytest.raises(Problem, match="has a cost centre '电商平台' already"):
            await create_cost_centre(connection, account, "电商平台", **BY)
        shop = await create_application(connection, account, "shop", **BY, cost_centre=centre)
        assert shop.cost_centre_id == centre.id
        assert await list_cost_centres(connection, account) == (centre,)
        assert {one.name for one in await list_applications(connection, account)} == {"default", "shop"}


async def test_subscriptions_are_refused_with_rule_and_remedy(gateway_pool: asyncpg.Pool) -> None:
    await on_sale(
        gateway_pool,
        echo_passport(plans=PLANS),
        echo_passport(service="hidden", visibility="private", plans=PLANS),
    )
    account = (await opened(gateway_pool, plans={})).account

    async def refusal(service: str, plan_id: str, starts_at: datetime = NOW) -> tuple[str, str, str]:
        with pytest.raises(Problem) as refused:
            async with scope(gateway_pool, account.id) as connection:
                await subscribe(connection, account, service, plan_id, starts_at, **BY)
        (error,) = refused.value.errors
        return error.pointer, error.rule, error.detail

    assert await refusal("nothing", "inside") == (
        "/service", "reference", "no service 'nothing' is on sale to bu-01; `ordergate services` lists them",
    )  # fmt: skip
    assert (await refusal("hidden", "inside"))[:2] == ("/service", "reference")
    assert await refusal("echo", "none") == (
        "/plan_id", "reference", "echo has no plan 'none'; its plans are inside, outside, abroad, next-year",
    )  # fmt: skip
    assert await refusal("echo", "outside") == (
        "/plan_id", "audience", "outside is for external accounts, bu-01 is internal; choose inside",
    )  # fmt: skip
    assert await refusal("echo", "abroad") == (
        "/plan_id", "currency", "abroad has prices in USD, bu-01 pays in CNY and nothing is converted; choose inside",
    )  # fmt: skip
    assert (await refusal("echo", "next-year"))[:2] == ("/plan_id", "not-yet")
    assert (await refusal("echo", "inside", NOW + timedelta(seconds=1)))[:2] == ("/starts_at", "not-yet")


async def test_one_subscription_per_service_is_current(gateway_pool: asyncpg.Pool) -> None:
    await on_sale(gateway_pool, echo_passport(plans=[*PLANS, plan("second")]))
    account = (await opened(gateway_pool)).account
    with pytest.raises(Problem, match="end it before another begins"):
        async with scope(gateway_pool, account.id) as connection:
            await subscribe(connection, account, "echo", "second", NOW, **BY)
    later: By = {"actor": ACTOR, "now": NOW + timedelta(hours=1)}
    async with scope(gateway_pool, account.id) as connection:
        ended = await end_subscription(connection, account, "echo", **later)
        second = await subscribe(connection, account, "echo", "second", later["now"], **later)
        assert await list_subscriptions(connection, account) == (ended, second)
        assert [offer async for offer in _offers(connection, account)] == [
            Offer("echo", "inside"),
            Offer("echo", "second"),
        ]
    assert (ended.plan_id, ended.ends_at) == ("inside", later["now"])
    async with scope(gateway_pool, account.id) as connection:
        with pytest.raises(Problem, match="no current subscription to mirror"):
            await end_subscription(connection, account, "mirror", **later)


async def _offers(connection: Any, account: Account) -> AsyncIterator[Offer]:
    for offer in offers([echo_passport(plans=[*PLANS, plan("second")])], account, NOW):
        yield offer


async def test_a_billing_profile_is_kept_and_its_content_stays_out_of_the_audit_log(
    gateway_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    account = (await opened(gateway_pool, "d-01", kind="external")).account
    profile = BillingProfile("合肥商贸有限公司", "合肥市蜀山区1号", "91340100MA2RXXXX0X")
    async with scope(gateway_pool, account.id) as connection:
        await set_billing_profile(connection, account, profile, **BY)
        found = await find_account(connection, account.id)
        with pytest.raises(Problem, match="/tax_id: write 1 to 500 characters"):
            await set_billing_profile(connection, account, BillingProfile("a", "b", " "), **BY)
    assert found.billing_profile == {
        "legal_name": profile.legal_name, "address": profile.address, "tax_id": profile.tax_id,
    }  # fmt: skip
    log = "".join(row["detail"] for row in await admin.fetch("SELECT detail::text FROM catalog.audit"))
    assert "合肥" not in log
    async with scope(gateway_pool) as connection:
        assert (await audit.verify(connection)).is_sound


async def test_an_account_finds_only_itself(gateway_pool: asyncpg.Pool) -> None:
    mine = (await opened(gateway_pool)).account
    other = (await opened(gateway_pool, "bu-02")).account
    async with scope(gateway_pool, mine.id) as connection:
        assert await list_accounts(connection) == (mine,)
        with pytest.raises(Problem, match="There is no account 'bu-02'"):
            await find_account(connection, "bu-02")
        assert await list_applications(connection, other) == ()
    async with scope(gateway_pool, mine.id) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await announce(connection, other.id, "live", "statement.issued", {}, NOW)


async def test_what_is_announced_leaves_with_its_transaction_or_not_at_all(
    gateway_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    async with scope(gateway_pool) as connection:
        id_ = await announce(connection, "acct_a", "live", "statement.issued", {"total": "1.00"}, NOW)
    async with gateway_pool.acquire() as connection:
        rolled_back = connection.transaction()
        await rolled_back.start()
        await connection.execute("SELECT set_config('ordergate.account', '*', true)")
        await announce(connection, "acct_a", "live", "statement.issued", {}, NOW)
        await rolled_back.rollback()
    rows = await admin.fetch("SELECT id, kind, payload, announced_at FROM catalog.outbox")
    assert [tuple(row) for row in rows] == [(id_, "statement.issued", '{"total": "1.00"}', NOW)]
