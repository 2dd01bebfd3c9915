"""The load generator's book can be trusted: no call is repeated that may have happened, and none is forgotten."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.load.book import Book, Entry, read_book
from tests.load.plan import Credential, Step, Unit, plan
from tests.load.run import Load, Summary

WHO = Credential("acct_a", "og_live_x")
SIGHT = Step("address/validate", b"{}")
RECEIPT = Step("stock/adjust", b"{}", "key-1", {"A": 3})
OK = b"HTTP/1.1 200 OK\r\nordergate-call-id: call_1\r\nordergate-charge: 0.1 CNY\r\ncontent-length: 2\r\n\r\n{}"
AWAY = b"HTTP/1.1 503 Away\r\nordergate-call-id: call_0\r\ncontent-length: 2\r\n\r\n{}"
NO_ANSWER = b""


@asynccontextmanager
async def answering(*replies: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that gives these replies in turn, cutting the connection for an empty one; its port, and what it got."""
    left, requests = list(replies), []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            requests.append(head + await reader.readexactly(2))
            reply = left.pop(0)
            if not reply:
                writer.transport.abort()
                return
            writer.write(reply)

    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(quietly, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], requests


async def load(port: int, step: Step, book: Path, on_call: Callable[[], object] = lambda: None) -> Summary:
    """One call, with its book."""
    units: Iterator[Unit] = iter([Unit(WHO, (step,))])
    written = Book(book)
    try:
        return await Load("127.0.0.1", port, written, on_call).run(units, 1, 10)
    finally:
        written.close()


async def test_a_call_without_a_key_that_may_have_happened_is_unknown_and_never_repeated(
    tmp_path: Path,
) -> None:
    async with answering(NO_ANSWER) as (port, requests):
        summary = await load(port, SIGHT, tmp_path / "book")
    assert (summary.unknown, summary.lost, summary.unresolved, len(requests)) == (1, 1, 0, 1)
    assert list(read_book(tmp_path / "book")) == [Entry("address/validate", "acct_a")]


async def test_a_call_with_a_key_is_repeated_under_it_until_it_is_known_how_it_ended(tmp_path: Path) -> None:
    async with answering(NO_ANSWER, AWAY, NO_ANSWER, OK) as (port, requests):
        summary = await load(port, RECEIPT, tmp_path / "book")
    assert (summary.classes, summary.unknown, summary.attempts, summary.lost) == ({"ok": 1}, 0, 4, 2)
    assert len(requests) == 4
    assert all(b"Idempotency-Key: key-1" in request for request in requests)
    lost = Entry("stock/adjust", "acct_a", idempotency_key="key-1")
    refused = Entry("stock/adjust", "acct_a", "call_0", 503, idempotency_key="key-1")
    done = Entry("stock/adjust", "acct_a", "call_1", 200, "ok", "0.1 CNY", "key-1", {"A": 3})
    assert list(read_book(tmp_path / "book")) == [lost, refused, lost, done]


def test_the_same_seed_plans_the_same_calls_and_exactly_as_many_as_were_asked_for() -> None:
    def planned(seed: int) -> list[Unit]:
        return list(plan(seed, 501, {"address": 0.5, "stock": 0.5}, (WHO,)))

    assert planned(1) == planned(1) != planned(2)
    steps = [step for unit in planned(1) for step in unit.steps]
    assert len(steps) == 501
    keys = [step.idempotency_key for step in steps if step.idempotency_key is not None]
    assert len(keys) == len(set(keys)) > 100
