"""What everybody reads of a price that is scheduled: today's, the one that is to come, and the change on its day."""

import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from atomic_services import registry
from catalog.passport import Passport, check_passport, document_of
from catalog.registry.publish import publish
from catalog.vocabulary.clock import ManualClock, to_ns
from tests.control_plane import NOW, Installation, Owner, eventually

DAY = "2026-12-01"


def _address(unit_price: str, effective_from: str = "2025-01-01") -> Passport:
    """The address service with another price for distributors in CNY, and its plan from a day on."""
    built_in = registry.built_in_passport("address")
    assert built_in is not None
    document = document_of(built_in)
    plan = next(one for one in document["plans"] if one["id"] == "distributor-2026")
    plan["effective_from"] = effective_from
    for entry in plan["prices"]:
        if (entry["operation"], entry["currency"]) == ("validate", "CNY"):
            entry["model"], entry["price"] = "per_unit", {"unit_price": unit_price}
    return check_passport(document)


async def _publish(plane: Installation, passport: Passport) -> None:
    built_in = registry.built_in_passport("address")
    before = (await plane.get("/openapi/address.json")).headers["etag"]
    async with plane.gateway_pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('ordergate.account', '*', true)")
        await publish(connection, passport, built_in, "tests", NOW)

    async def seen() -> bool:
        return (await plane.get("/openapi/address.json")).headers["etag"] != before

    await eventually(seen)


async def _contract_price(plane: Installation, path: str) -> dict[str, Any]:
    document = (await plane.get(path)).json()
    prices = document["paths"]["/v1/address/validate"]["post"]["x-ordergate"]["prices"]
    (price,) = (one for one in prices if (one["plan"], one["currency"]) == ("distributor-2026", "CNY"))
    found: dict[str, Any] = price
    return found


async def _api_price(plane: Installation, dealer: Owner) -> dict[str, Any]:
    plans = (await plane.get("/api/services/address", dealer.live)).json()["plans"]
    (price,) = (
        one
        for plan in plans
        if plan["id"] == "distributor-2026"
        for one in plan["prices"]
        if (one["operation"], one["currency"]) == ("address/validate", "CNY")
    )
    found: dict[str, Any] = price
    return found


async def _cell(plane: Installation, path: str) -> str:
    """The page's cell with the price of address/validate for distributors in CNY, as words."""
    text = (await plane.get(path)).text
    row = re.search(r'<th scope="row"><a [^>]*#address-validate">.*?</tr>', text, re.DOTALL)
    assert row is not None
    cell = re.findall(r"<td.*?</td>", row[0], re.DOTALL)[0]
    return " ".join(re.sub(r"<[^>]+>", " ", cell).split())


async def test_every_list_shows_todays_price_and_the_scheduled_one(plane: Installation) -> None:
    dealer = await plane.open("dealer", "external")
    await _publish(plane, _address("0.085"))
    await _publish(plane, _address("0.095", DAY))
    for path in ("/openapi.json", "/openapi/address.json"):
        price = await _contract_price(plane, path)
        assert (price["price"], price["effective_from"]) == ({"unit_price": "0.085"}, "2026-11-22")
        assert price["scheduled"] == {
            "effective_from": DAY,
            "billable_on": "success",
            "model": "per_unit",
            "price": {"unit_price": "0.095"},
        }
    price = await _api_price(plane, dealer)
    assert (price["price"], price["scheduled"]["price"]) == ({"unit_price": "0.085"}, {"unit_price": "0.095"})
    assert (price["effective_from"], price["scheduled"]["effective_from"]) == ("2026-11-22", DAY)
    for path in ("/services/address?lang=en", "/?lang=en"):
        assert await _cell(plane, path) == "0.085 a call from 2026-11-22 from 2026-12-01: 0.095 a call"
    assert "自 2026-12-01 起：" in await _cell(plane, "/services/address?lang=zh-CN")


async def test_lists_change_on_the_day_without_a_publication(plane: Installation) -> None:
    dealer = await plane.open("dealer", "external")
    await _publish(plane, _address("0.095", DAY))
    assert (await _api_price(plane, dealer))["price"] == {"unit_price": "0.080"}
    etag = (await plane.get("/openapi/address.json")).headers["etag"]
    clock = plane.context.clock
    midnight = to_ns(datetime(2026, 12, 1, tzinfo=ZoneInfo("Asia/Shanghai")))
    assert isinstance(clock, ManualClock)
    clock.advance((midnight - clock.now_ns()) / 1e9)
    # On the dealer's calendar the day has begun; for everybody it begins in UTC.
    assert (await _api_price(plane, dealer))["price"] == {"unit_price": "0.095"}
    assert (await _contract_price(plane, "/openapi.json"))["price"] == {"unit_price": "0.080"}
    clock.advance(8 * 3_600)
    assert (await _contract_price(plane, "/openapi.json"))["price"] == {"unit_price": "0.095"}
    assert (await plane.get("/openapi/address.json")).headers["etag"] != etag
    assert await _cell(plane, "/services/address?lang=en") == "0.095 a call from 2026-12-01"


async def test_a_schedule_that_is_taken_back_is_on_no_list(plane: Installation) -> None:
    dealer = await plane.open("dealer", "external")
    await _publish(plane, _address("0.095", DAY))
    await _publish(plane, _address("0.070"))
    assert await _cell(plane, "/services/address?lang=en") == "0.070 a call from 2026-11-22"
    assert "scheduled" not in await _contract_price(plane, "/openapi.json")
    assert (await _api_price(plane, dealer))["scheduled"] is None


async def test_a_scheduled_price_does_not_stop_new_accounts_from_taking_the_plan(plane: Installation) -> None:
    await _publish(plane, _address("0.095", DAY))
    dealer = await plane.open("dealer", "external")
    service = (await plane.get("/api/services/address", dealer.live)).json()
    assert service["subscribed_plan"] == "distributor-2026"
