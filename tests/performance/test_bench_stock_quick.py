"""The hot-SKU bench compares with what sells as rightly as we do, and by the median of the rounds."""

import asyncio
from datetime import UTC, datetime

import asyncpg
import pytest

from deploy.database import Database
from tests.performance.bench_stock import best_of, ratio
from tests.performance.load import Load
from tests.performance.plain_server import SCHEMA, STATEMENTS, Line, Order
from tests.performance.stock_contenders import Contender, Ours, Plain

NOW = datetime(2026, 11, 2, tzinfo=UTC)


@pytest.mark.parametrize("statements", STATEMENTS)
async def test_the_plain_server_sells_what_there_is_and_keeps_its_books(
    statements: str, database: Database, admin: asyncpg.Connection
) -> None:
    await admin.execute(SCHEMA)
    await admin.execute("INSERT INTO plain.level (sku, on_hand) VALUES ('HOT', 5)")
    async with asyncpg.create_pool(**database.admin(), min_size=4, max_size=4) as pool:
        orders = [Order(f"r{n}", [Line("HOT", 1)], 60) for n in range(20)]
        taken = await asyncio.gather(*(STATEMENTS[statements](pool, order, NOW) for order in orders))
    assert sorted(taken) == [False] * 15 + [True] * 5
    books = await admin.fetchrow(
        "SELECT (SELECT reserved FROM plain.level), (SELECT count(*) FROM plain.reservation), (SELECT count(*) FROM plain.usage)"
    )
    assert books is not None
    assert tuple(books) == (5, 5, 5)


def _load(calls: int, refused: int = 0) -> Load:
    return Load(calls, 1_000_000, refused, 0, 1, 1)


def test_a_pool_is_chosen_by_its_median_and_the_ratio_is_that_of_the_rounds() -> None:
    ours, lucky, good = Ours(1), Plain(1, 4, "separate"), Plain(1, 8, "separate")
    loads: dict[Contender, list[Load]] = {
        ours: [_load(300), _load(600), _load(950, refused=50)],
        lucky: [_load(900), _load(90), _load(90)],
        good: [_load(100), _load(200), _load(300)],
    }
    assert best_of(loads, (lucky, good)) == good
    assert ratio(loads, ours, good) == 3.0
