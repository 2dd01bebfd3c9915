"""A demo group small enough to be opened and billed in a second."""

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import asyncpg

from atomic_services.registry import built_in_passports
from catalog.registry.publish import publish_built_in
from catalog.vocabulary.clock import ManualClock, from_ns
from catalog.vocabulary.problem import Text
from deploy.database import Database
from deploy.demo.group import Contract, Group, Member, demo_group
from deploy.demo.start import ensure_demo
from deploy.home import Home
from deploy.roles import GATEWAY

_HALF, _QUARTER = Fraction(1, 2), Fraction(1, 4)

SMALL_GROUP = Group(
    currency="CNY",
    seller=demo_group().seller,
    season=demo_group().season,
    annual_volume={
        "domestic": {"address/validate": 1_200, "stock/reserve": 700},
        # No service is built in that could be called for it.
        "customs": {"customs/lookup": 100},
    },
    members=(
        Member(
            "bu-01",
            Text("Qinyuan Beverages", "沁源饮品"),
            "internal",
            "Asia/Shanghai",
            {"domestic": _HALF, "customs": _HALF},
            ("电商平台", "连锁商超"),
        ),
        Member(
            "d-01",
            Text("Hefei Trading", "合肥商贸"),
            "external",
            "Asia/Shanghai",
            {"domestic": _QUARTER, "customs": _QUARTER},
            contract=Contract(Decimal("2.00"), Decimal(5), Decimal("40.00")),
        ),
        Member(
            "d-02",
            Text("Dubai Trading", "迪拜 Trading"),
            "external",
            "Asia/Dubai",
            {"domestic": _QUARTER, "customs": _QUARTER},
            contract=Contract(Decimal("2.00")),
        ),
    ),
)


async def first_start(home: Path, database: Database, clock: ManualClock) -> str | None:
    """What a start does once the schema is there; the key that it would show."""
    gateway = await asyncpg.connect(**database.as_role(GATEWAY, {"ordergate.account": "*"}))
    try:
        async with gateway.transaction():
            await publish_built_in(gateway, built_in_passports(), "test", from_ns(clock.now_ns()))
    finally:
        await gateway.close()
    place = Home(home)
    place.make()
    return await ensure_demo(place, database, SMALL_GROUP, clock)
