"""Results on documents, and in trials of other prices."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from billing.desk import close
from billing.invoice.rate_pending import rate_pending
from billing.invoice.simulate import simulate
from billing.transaction import all_accounts
from catalog.plan import parse_plan
from catalog.vocabulary.clock import ManualClock
from tests.result_books import (
    NOVEMBER,
    PROVEN,
    SAVED,
    ResultBooks,
    add_share,
    answered,
    everything,
)
from tests.usage_books import add_account, roll_up_all

DECEMBER_1 = ManualClock(datetime(2026, 12, 1, 3, tzinfo=UTC))
JANUARY_1 = ManualClock(datetime(2027, 1, 1, 3, tzinfo=UTC))


@pytest.fixture
async def books(
    gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> ResultBooks:
    await add_account(admin, "acct_a", name="brand")
    await add_share(admin, "proven", PROVEN, {"rate_pct": "10"})
    await add_share(admin, "saved", SAVED, {"rate_pct": "10", "of": "/reply/saving", "max": "50"})
    await admin.execute(
        "INSERT INTO catalog.subscription (id, account_id, service, plan_id, starts_at) "
        "VALUES ('sub_acct_a', 'acct_a', 'customs', 'saved', '2026-01-01Z')"
    )
    return ResultBooks(gateway_pool, billing_pool, admin)


async def test_a_close_tells_of_one_open_result_as_of_one(
    books: ResultBooks, billing_pool: asyncpg.Pool
) -> None:
    await books.called(answered("100"))
    (warning,) = (await close(billing_pool, NOVEMBER, DECEMBER_1)).warnings
    assert warning.startswith(
        "1 result of the live 2026-11 waits for brand's acceptance: its document is without it, and it follows on a later one"
    )


async def test_a_month_is_closed_without_its_open_results_and_they_follow_as_corrections(
    books: ResultBooks, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    declined = answered("100")
    await books.called(declined, answered("200"), answered("300"))
    await books.decline(declined.uuid)
    report = await close(billing_pool, NOVEMBER, DECEMBER_1)
    assert [(one.period, one.total) for one in report.issued] == [("2026-11", Decimal(0))]
    assert [one.split("(")[0].strip() for one in report.warnings] == [
        "2 results of the live 2026-11 wait for brand's acceptance: its document is without them, and they follow on a "
        "later one"
    ]
    await books.accept("50.00")
    await roll_up_all(billing_pool)
    await rate_pending(billing_pool, ManualClock(datetime(2026, 12, 9, tzinfo=UTC)))
    (issued,) = (await close(billing_pool, NOVEMBER.next(), JANUARY_1)).issued
    assert (issued.period, issued.total) == ("2026-12", Decimal(50))
    (line,) = await admin.fetch(
        "SELECT usage_period, corrects, calls FROM billing.invoice_line WHERE amount <> 0"
    )
    assert (str(line["usage_period"]), line["corrects"], line["calls"]) == ("2026-11-01", True, 0)
    assert (await close(billing_pool, NOVEMBER, JANUARY_1)).warnings == ()
    assert await everything(billing_pool) == []


async def _drafted(pool: asyncpg.Pool, model: str, price: dict[str, Any], **plan: str) -> tuple[str, str]:
    """What customs/check costs now, and would under a draft."""
    entry = {"operation": "check", "currency": "CNY", "model": model, "price": price}
    whole = {"id": "saved", "audience": "both", "effective_from": "2027-01-01", **plan, "prices": [entry]}
    async with all_accounts(pool) as connection:
        found = await simulate(connection, "customs", [parse_plan(whole)], NOVEMBER, "live")
    (line,) = (one for one in found.lines if one.operation == SAVED)
    return line.effect.current.amount, line.effect.draft.amount


async def test_other_prices_are_tried_on_calls_and_on_results(
    books: ResultBooks, billing_pool: asyncpg.Pool
) -> None:
    await books.called(answered("100"))
    await books.accept("10.00")
    await books.called(answered("1000"), answered("", class_="declined"))
    share = {"rate_pct": "20", "of": "/reply/saving"}
    assert await _drafted(billing_pool, "outcome", share) == ("10.00", "220.00"), "as if all were accepted"
    assert await _drafted(billing_pool, "outcome", {**share, "max": "50"}) == ("10.00", "70.00")
    assert await _drafted(billing_pool, "outcome", {"rate_pct": "20"}) == ("10.00", "20.00"), (
        "what was accepted"
    )
    for model, price, due in (
        ("per_unit", {"unit_price": "3"}, "6.00"),
        ("percentage", {"rate_pct": "50", "fixed_per_event": "1"}, "2.00"),
        ("matrix", {"dimensions": ["saving"], "cells": [], "default": "4"}, "8.00"),
        ("bucketed", {"model": "per_unit", "price": {"unit_price": "5"}}, "10.00"),
    ):
        assert await _drafted(billing_pool, model, price) == ("10.00", due), model
    assert await _drafted(billing_pool, "per_unit", {"unit_price": "3"}, billable_on="accepted") == (
        "10.00",
        "9.00",
    )
