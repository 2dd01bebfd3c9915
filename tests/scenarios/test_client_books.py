"""Clients' own logs against the stored calls: one call on which they disagree is one difference, and is named."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from billing.audit.told_charge import ToldCharges
from billing.flow import Flow
from billing.store.amend import Amendment, amend
from billing.transaction import all_accounts
from catalog.usage_event import UsageEvent
from catalog.vocabulary.clock import SystemClock
from catalog.vocabulary.ids import CALL_PREFIX, parse_call_id
from catalog.vocabulary.problem import Problem
from tests.gateways import BERLIN, RunningGateway
from tests.reconciling import OCTOBER_5, Installation, calls, open_installation
from tests.usage_books import add_price, call
from tests.usage_calls import write_journal


@pytest.fixture
async def installation(admin: asyncpg.Connection, billing_pool: asyncpg.Pool, tmp_path: Path) -> Installation:
    root = tmp_path / "journals"
    root.mkdir()
    return await open_installation(admin, billing_pool, root)


def _book(path: Path, events: Sequence[UsageEvent], **fields: object) -> Path:
    entries = [
        {
            "call_id": CALL_PREFIX + one.id,
            "operation": one.operation,
            "account": one.account_id,
            "status": 200,
        }
        | {"class": one.class_, "charge": "0.055 CNY"}
        | fields
        for one in events
    ]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


async def test_a_clients_receipts_are_all_stored_and_nothing_else(
    installation: Installation, tmp_path: Path
) -> None:
    events = calls(30)
    await write_journal(installation.root / "worker-0", events)
    _, live = await installation.reconcile(_book(tmp_path / "book.jsonl", events))
    assert live.line == "served=30 metered=30 stored=30 rated=30 posted=30 invoiced=30 diff=0 money_diff=0"


async def test_receipts_without_a_call_and_calls_without_a_receipt_are_named(
    installation: Installation, tmp_path: Path
) -> None:
    events = calls(30)
    lost, unbooked, refused, other = events[5], events[10], events[15], events[20]
    await write_journal(installation.root / "worker-0", [one for one in events if one is not lost])
    book = _book(tmp_path / "book.jsonl", [one for one in events if one not in (unbooked, refused, other)])
    refusal = _book(tmp_path / "refused.jsonl", [refused], status=429, charge=None, **{"class": None})
    wrong = _book(tmp_path / "wrong.jsonl", [other], **{"class": "declined"})
    _, live = await installation.reconcile(book, refusal, wrong)
    assert live.diff == 4
    assert sorted(live.differences) == sorted(
        [
            f"call_{lost.id} address/validate: has a receipt and is not stored",
            f"call_{unbooked.id} address/validate: is stored and has no receipt",
            f"call_{refused.id} address/validate: is stored, and the client was refused",
            f"call_{other.id} address/validate: the receipt says address/validate declined acct_a, "
            "stored is address/validate ok acct_a",
        ]
    )
    assert (live.served, live.stored) == (29, 29)


async def test_a_receipt_of_another_charge_is_a_difference_of_that_much_money(
    installation: Installation, tmp_path: Path
) -> None:
    events = calls(10)
    dearer, cheaper, foreign, estimated, longer = events[:5]
    await write_journal(installation.root / "worker-0", events)
    books = [
        _book(tmp_path / f"{one.id}.jsonl", [one], charge=charge)
        for one, charge in (
            (dearer, "0.065 CNY"),
            (cheaper, "0.05 CNY"),
            (foreign, "0.055 USD"),
            (estimated, "0.055 CNY; estimate"),
            (longer, "0.0550 CNY"),
        )
    ]
    _, live = await installation.reconcile(_book(tmp_path / "book.jsonl", events[5:]), *books)
    assert (live.diff, live.money_diff) == (3, Decimal("0.01") + Decimal("0.005") + Decimal("0.11"))
    assert sorted(live.differences) == sorted(
        f"call_{one.id} address/validate: the receipt says {said}, its price price charges 0.055 CNY"
        for one, said in ((dearer, "0.065 CNY"), (cheaper, "0.05 CNY"), (foreign, "0.055 USD"))
    )


async def test_a_receipt_says_what_the_call_cost_when_it_was_answered(
    installation: Installation, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    """Units by their combination's price, whatever they were amended to since; nothing of what is not billed; and a book
    without charges is compared without them."""
    price = {"dimensions": ["country"], "cells": [{"dimensions": {"country": "DE"}, "unit_price": "0.04"}]}
    await add_price(admin, "matrix", "address/parse", "matrix", {**price, "default": "0.09"})
    await add_price(admin, "share", "customs/check", "outcome", {"rate_pct": "10"})
    parsed: dict[str, Any] = {"operation": "address/parse", "price_version": "matrix", "units": "2"}
    german, french = (
        call("acct_a", OCTOBER_5, dimensions=(("country", country),), **parsed) for country in ("DE", "FR")
    )
    declined = call("acct_a", OCTOBER_5, class_="declined")
    shared = call("acct_a", OCTOBER_5, operation="customs/check", price_version="share", billable=False)
    silent = call("acct_a", OCTOBER_5)
    told = {german: "0.08 CNY", french: "0.18 CNY", declined: "0 CNY", shared: "0 CNY", silent: None}
    await write_journal(installation.root / "worker-0", list(told))
    books = [_book(tmp_path / f"{one.id}.jsonl", [one], charge=charge) for one, charge in told.items()]
    await installation.drive()
    for one in (german, shared):
        async with installation.pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('ordergate.account', '*', true)")
            await amend(connection, [Amendment(one.uuid, Decimal(50))])
    _, live = await installation.reconcile(*books)
    assert [one for one in live.differences if "receipt" in one] == []
    assert live.diff == 0
    wrong = _book(tmp_path / "wrong.jsonl", [german, declined], charge="0.09 CNY")
    _, live = await installation.reconcile(*books[1:], wrong)
    assert {one.partition(": ")[2] for one in live.differences if "receipt" in one} == {
        "the receipt says 0.09 CNY, its price matrix charges 0.08 CNY",
        "the receipt says 0.09 CNY, its price price charges 0 CNY",
    }


async def test_charges_that_are_none_are_told_by_number_and_their_receipts_compared_without_them(
    installation: Installation, tmp_path: Path
) -> None:
    wrong = ("0.08", "CNY 0.08", "-1 CNY", "NaN CNY", "1e3 CNY", "0,08 CNY", "")
    events = calls(len(wrong) + 1)
    await write_journal(installation.root / "worker-0", events)
    books = [
        _book(tmp_path / f"{one.id}.jsonl", [one], charge=charge)
        for one, charge in zip(events, (*wrong, "0.055 CNY"), strict=True)
    ]
    _, live = await installation.reconcile(*books)
    assert live.agrees
    assert live.notices == (
        "7 charges of clients' books are not written as in `Ordergate-Charge` (0.055 CNY): "
        "their receipts were compared without them",
    )


async def test_a_replay_is_charged_nothing_under_the_id_of_the_call_that_it_repeats(
    installation: Installation, tmp_path: Path
) -> None:
    """Whether the first answer is in the book before it, behind it, or was lost."""
    before, behind, lost = events = calls(3)
    await write_journal(installation.root / "worker-0", events)
    said = [
        (before, "0.055 CNY"),
        (before, "0 CNY"),
        (behind, "0 CNY"),
        (behind, "0.065 CNY"),
        (lost, "0.00 CNY"),
    ]
    books = [
        _book(tmp_path / f"{place}.jsonl", [one], charge=charge) for place, (one, charge) in enumerate(said)
    ]
    _, live = await installation.reconcile(*books)
    assert live.differences == (
        f"call_{behind.id} address/validate: the receipt says 0.065 CNY, its price price charges 0.055 CNY",
    )


async def test_one_missing_receipt_is_one_difference(installation: Installation, tmp_path: Path) -> None:
    events = calls(10)
    await write_journal(installation.root / "worker-0", events[:-1])
    _, live = await installation.reconcile(_book(tmp_path / "book.jsonl", events))
    assert live.line == "served=10 metered=9 stored=9 rated=9 posted=9 invoiced=9 diff=1 money_diff=0"


async def test_one_call_without_a_receipt_is_one_difference_of_its_own_environment(
    installation: Installation, tmp_path: Path
) -> None:
    events = calls(10) + calls(10, environment="test")
    await write_journal(installation.root / "worker-0", events)
    book = _book(tmp_path / "book.jsonl", [one for one in events if one is not events[15]])
    test, live = await installation.reconcile(book)
    assert (test.served, test.stored, test.diff) == (9, 10, 1)
    assert test.differences == (f"call_{events[15].id} address/validate: is stored and has no receipt",)
    assert live.agrees


async def test_a_call_that_is_late_and_has_a_receipt_is_one_difference(
    installation: Installation, tmp_path: Path
) -> None:
    events = calls(3)
    await write_journal(installation.root / "worker-0", events)
    _, live = await installation.reconcile(_book(tmp_path / "book.jsonl", events), drive=False)
    assert live.line == "served=3 metered=3 stored=0 rated=0 posted=0 invoiced=0 diff=3 money_diff=0"


async def test_a_line_that_was_served_and_does_not_say_which_call_is_a_named_difference(
    installation: Installation, tmp_path: Path
) -> None:
    events = calls(10)
    await write_journal(installation.root / "worker-0", events)
    book = _book(tmp_path / "book.jsonl", events)
    with book.open("a") as more:
        more.write('{"operation": "address/validate", "status": 200}\n')
        more.write('{"operation": "address/parse", "status": 409, "charge": "0 CNY"}\n')
        more.write('{"operation": "address/parse", "charge": "0.055 CNY"}')
    _, live = await installation.reconcile(book)
    assert live.line == "served=10 metered=10 stored=10 rated=10 posted=10 invoiced=10 diff=3 money_diff=0"
    assert live.differences == tuple(
        f"{book}, line {number}: {operation} was served, and no `call_id` says which call it was"
        for number, operation in ((11, "address/validate"), (12, "address/parse"), (13, "address/parse"))
    )


async def test_refusals_in_a_book_that_name_no_call_are_told_by_number(
    installation: Installation, tmp_path: Path
) -> None:
    events = calls(10)
    await write_journal(installation.root / "worker-0", events)
    book = _book(tmp_path / "book.jsonl", events)
    with book.open("a") as more:
        more.write('{"operation": "address/validate", "status": 429}\n' * 7)
    _, live = await installation.reconcile(book)
    assert live.agrees
    assert live.notices == (
        "7 lines of clients' books have neither `call_id` nor `charge` and say that the call failed: "
        "taken as refused by the gateway, which meters nothing, and compared with nothing",
    )


async def test_a_receipt_that_is_on_its_way_is_waited_for_and_one_that_never_comes_is_named(
    installation: Installation, tmp_path: Path
) -> None:
    events = calls(10, start=datetime(2026, 11, 1, 23, 59, 50, tzinfo=UTC))
    slow, never = events[3], events[6]
    await write_journal(installation.root / "worker-0", events)
    book = _book(tmp_path / "book.jsonl", [one for one in events if one not in (slow, never)])
    line = _book(tmp_path / "line.jsonl", [slow]).read_text()
    # The client is at its next line.
    with book.open("a") as growing:
        growing.write(line[:20])
    pause = installation.sleep

    async def sleep_while_the_client_writes(seconds: float) -> None:
        await pause(seconds)
        if line not in book.read_text():
            with book.open("a") as growing:
                growing.write(line[20:])

    installation.sleep = sleep_while_the_client_writes  # type: ignore[method-assign]
    started_ns = installation.clock.now_ns()
    _, live = await installation.reconcile(book)
    assert live.differences == (f"call_{never.id} address/validate: is stored and has no receipt",)
    assert (live.served, live.stored) == (9, 10)
    assert installation.clock.now_ns() - started_ns < 35_000_000_000


async def test_a_time_out_resolves_to_metered_or_to_nothing(
    installation: Installation, tmp_path: Path
) -> None:
    events = calls(10)
    await write_journal(installation.root / "worker-0", events)
    book = _book(tmp_path / "book.jsonl", events[:4] + events[5:])
    timeouts = tmp_path / "timeouts.jsonl"
    # Two calls were never answered: one of them was metered.
    timeouts.write_text('{"operation": "address/validate", "status": null}\n' * 2)
    _, live = await installation.reconcile(book, timeouts)
    assert (live.served, live.diff, live.differences) == (10, 0, ())


async def test_a_line_that_is_no_book_entry_is_refused_by_file_and_number(
    installation: Installation, tmp_path: Path
) -> None:
    book = tmp_path / "book.jsonl"
    book.write_text(
        '{"operation": "address/validate"}\n{"operation": "address/validate", "call_id": "nonsense"}\n'
    )
    with pytest.raises(Problem, match=r"book\.jsonl, line 2"):
        await installation.reconcile(book)


async def test_what_replies_tell_of_charges_is_what_receipts_are_compared_with(
    gateway: RunningGateway, billing_pool: asyncpg.Pool
) -> None:
    opened = await gateway.open_account()
    key = await gateway.create_key(opened)
    replies = [
        await gateway.call(key, operation, body)
        for operation, body in (
            ("address/validate", BERLIN),
            ("address/validate", {**BERLIN, "country": "QQ"}),
            ("address/parse", {"text": "上海市浦东新区世纪大道100号", "country": "CN"}),
        )
    ]
    flow = Flow(billing_pool, gateway.home.journals, None, SystemClock())
    while (await flow.ship()).more:
        pass
    flow.close()
    async with all_accounts(billing_pool) as connection:
        charges = ToldCharges(connection)
        rows = {row["id"]: row for row in await connection.fetch("SELECT * FROM billing.usage_event")}
        told = [await charges.of(rows[parse_call_id(one.headers["ordergate-call-id"])]) for one in replies]
    assert [one.status_code for one in replies] == [200, 400, 200]
    assert [str(one) for one in told] == [
        one.headers["ordergate-charge"].removesuffix("; estimate") for one in replies
    ]
