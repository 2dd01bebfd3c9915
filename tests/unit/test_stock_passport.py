"""The stock passport says what the code does."""

from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from atomic_services import stock
from atomic_services.stock import SERVICE
from catalog.passport import Passport, read_passport
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.problem import PROBLEMS
from tests.stock_calls import START, StockCalls, create_account


def _passport() -> Passport:
    return read_passport((Path(stock.__file__).parent / "passport.yaml").read_text(encoding="utf-8"))


def test_each_operation_is_published_with_the_types_the_code_uses() -> None:
    passport = _passport()
    assert passport.service == SERVICE.name
    assert {entry.id: (entry.request.schema, entry.reply.schema) for entry in passport.operations} == {
        name: (f"schema.py:{operation.request.__name__}", f"schema.py:{operation.reply.__name__}")
        for name, operation in SERVICE.operations.items()
    }


def test_everything_that_touches_stock_joins_the_transaction_of_its_call() -> None:
    assert {entry.effect for entry in _passport().operations} == {"transactional"}


def test_announced_problems_have_a_page() -> None:
    assert {name for entry in _passport().operations for name in entry.problems} <= set(PROBLEMS)


def test_each_operation_has_a_price_for_both_audiences_and_a_cost() -> None:
    passport = _passport()
    wanted = {
        (plan, operation, currency)
        for operation in SERVICE.operations
        for plan, currency in (
            ("internal-2026", "CNY"),
            ("distributor-2026", "CNY"),
            ("distributor-2026", "USD"),
        )
    }
    assert {
        (plan.id, price.operation, price.currency) for plan in passport.parsed_plans for price in plan.prices
    } == wanted
    assert {cost.operation for cost in passport.costs} == set(SERVICE.operations)


async def test_the_examples_run_in_their_order_with_the_replies_that_they_show(
    admin: asyncpg.Connection, gateway_pool: asyncpg.Pool
) -> None:
    await create_account(admin, "acct_a")
    call = StockCalls(gateway_pool, ManualClock(START))
    shown = [(entry.id, example) for entry in _passport().operations for example in entry.examples]
    assert {operation for operation, _ in shown} == set(SERVICE.operations)
    for operation, example in shown:
        reply = msgspec.json.decode(msgspec.json.encode(await call(operation, **example.request)))
        assert _part_of(reply, example.reply) == example.reply, (operation, example.name.en)


def _part_of(reply: dict[str, Any], shape: dict[str, Any]) -> dict[str, Any]:
    return {name: reply.get(name) for name in shape}
