"""Clients' own logs against the stored calls: one call on which they disagree is one difference, and is named."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from catalog.usage_event import UsageEvent
from catalog.vocabulary.ids import CALL_PREFIX
from catalog.vocabulary.problem import Problem
from tests.reconciling import Installation, calls, open_installation
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
