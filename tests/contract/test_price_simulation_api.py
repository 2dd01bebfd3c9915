"""An account asks what its own calls would have cost under other prices."""

from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from catalog.vocabulary.problem import PROBLEMS
from tests.control_plane import Installation, Owner
from tests.usage_books import call, use

OCTOBER = datetime(2026, 10, 12, 4, tzinfo=UTC)
PRICE = "address/internal-2026/validate/CNY@1"
PATH = "/api/services/address/simulate-price"


@pytest.fixture
async def owner(plane: Installation) -> Owner:
    return await plane.open("bu-01")


def terms(operation: str = "validate", model: str = "per_unit", **price: Any) -> dict[str, Any]:
    price = price or {"unit_price": "1.00"}
    entry = {"operation": operation, "currency": "CNY", "model": model, "price": price}
    plan = {"id": "internal-2026", "audience": "internal", "effective_from": "2027-01-01", "prices": [entry]}
    return {"period": "2026-10", "plans": [plan]}


async def test_an_account_learns_what_its_month_would_have_cost(
    plane: Installation, owner: Owner, admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    other = await plane.open("bu-02")
    for one, calls in ((owner, 3), (other, 5)):
        subscription = await admin.fetchval(
            "SELECT id FROM catalog.subscription WHERE account_id = $1 AND service = 'address'", one.id
        )
        await use(
            billing_pool,
            [call(one.id, OCTOBER, price_version=PRICE, subscription_id=subscription) for _ in range(calls)],
        )
    reply = await plane.send("POST", PATH, owner.live, terms())
    assert reply.status_code == 200, reply.text
    (total,) = reply.json()["totals"]
    assert total["of"] == "address"
    assert total["effect"]["calls"] == 3
    assert total["effect"]["draft"] == {"amount": "3.00", "currency": "CNY"}
    assert [one["of"] for one in reply.json()["accounts"]] == ["bu-01"]
    sandbox = await plane.send("POST", PATH, owner.test, terms())
    assert sandbox.json()["lines"] == []


@pytest.mark.parametrize(
    ("path", "body", "problem", "pointer"),
    [
        ("/api/services/nothing/simulate-price", terms(), "not-found", None),
        (PATH, {}, "invalid-input", "/period"),
        (PATH, {**terms(), "period": "2026-13"}, "invalid-input", "/period"),
        (PATH, {**terms(), "plans": []}, "invalid-input", "/plans"),
        (PATH, terms(operation="fly"), "invalid-input", "/plans/0/prices/0/operation"),
        (PATH, terms(unit_price="cheap"), "invalid-input", "/plans/0/prices/0/price/unit_price"),
        (
            PATH,
            terms(
                model="capacity", tiers=[{"max": {"users": "1"}, "price": "5"}, {"max": None, "price": "9"}]
            ),
            "invalid-input",
            "/plans/0/prices/0/price/tiers/0/max/users",
        ),
        (PATH, {**terms(), "publish": True}, "invalid-input", "/publish"),
    ],
)
async def test_a_draft_that_cannot_be_rated_says_where_and_what_to_do(
    plane: Installation, owner: Owner, path: str, body: dict[str, Any], problem: str, pointer: str | None
) -> None:
    reply = await plane.send("POST", path, owner.live, body)
    assert reply.status_code == PROBLEMS[problem].status, reply.text
    document = reply.json()
    assert document["type"] == f"/problems/{problem}"
    if pointer is not None:
        assert document["errors"][0]["pointer"] == pointer
        assert document["errors"][0]["detail"]
