"""Journals become usage rows: every record once, in order, or a named halt."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import asyncpg
import msgspec
import pytest

from billing.journal import Journal
from billing.store.halt import ShippingHalted
from billing.store.shipper import Round, Shipper
from catalog.usage_event import USAGE_EVENT_KIND, Refusal, encode_record
from catalog.vocabulary.clock import ManualClock, from_ns
from tests.usage_calls import (
    NOON,
    append_events,
    append_refusals,
    open_journal,
    usage_event,
    write_journal,
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def shipper(billing_pool: asyncpg.Pool, tmp_path: Path, clock: ManualClock) -> Iterator[Shipper]:
    shipper = Shipper(billing_pool, tmp_path, None, clock)
    yield shipper
    shipper.close()


async def _ship_all(shipper: Shipper) -> list[Round]:
    rounds = [await shipper.ship_round()]
    while rounds[-1].records or rounds[-1].more:
        rounds.append(await shipper.ship_round())
    return rounds


async def _stored_ids(connection: asyncpg.Connection) -> list[UUID]:
    return [row["id"] for row in await connection.fetch("SELECT id FROM billing.usage_event ORDER BY id")]


async def test_every_field_of_an_event_reaches_its_row(
    shipper: Shipper, tmp_path: Path, admin: asyncpg.Connection
) -> None:
    parent = usage_event()
    event = usage_event(
        NOON + timedelta(microseconds=123_457),
        environment="test",
        account_id="acct_shop",
        payer="acct_flow",
        units="12.50",
        class_="declined",
        outcome="business_refusal",
        fault="caller",
        billable=False,
        status=409,
        latency_us=2**40,
        operation="库存/预留\t\\N",
        parent_call_id=parent.id,
    )
    await write_journal(tmp_path / "worker-000", [event])

    await shipper.ship_round()

    row = await admin.fetchrow("SELECT *, pg_current_xact_id() AS now_xid FROM billing.usage_event")
    assert row is not None
    stored = {name: row[name] for name in event.__struct_fields__ if name in row}
    expected = msgspec.structs.asdict(event)
    assert stored == {
        **{name: expected[name] for name in stored},
        "id": event.uuid,
        "units": Decimal("12.50"),
        "parent_call_id": parent.uuid,
    }
    assert row["class"] == event.class_
    assert row["occurred_at"] == from_ns(event.occurred_at_ns)
    assert row["recorded_by"] == "journal"
    assert 0 < row["stored_xid"] < row["now_xid"]


async def test_each_record_is_stored_once_however_often_shipping_runs(
    shipper: Shipper, tmp_path: Path, admin: asyncpg.Connection
) -> None:
    events = [usage_event() for _ in range(1_000)]
    async with open_journal(tmp_path / "worker-000") as journal:
        for start in range(0, len(events), 100):
            await append_events(journal, events[start : start + 100])
            await _ship_all(shipper)
        assert not (await shipper.ship_round()).records

    assert await _stored_ids(admin) == sorted(event.uuid for event in events)


async def test_two_shippers_of_the_same_journals_store_every_record_once(
    billing_pool: asyncpg.Pool, tmp_path: Path, clock: ManualClock, admin: asyncpg.Connection
) -> None:
    events = [usage_event() for _ in range(600)]
    shippers = [Shipper(billing_pool, tmp_path, None, clock) for _ in range(2)]
    async with open_journal(tmp_path / "worker-000") as journal:
        for start in range(0, len(events), 50):
            await append_events(journal, events[start : start + 50])
            rounds = await asyncio.gather(*(_ship_all(shipper) for shipper in shippers))
            assert sum(done.events for mine in rounds for done in mine) == 50
    for shipper in shippers:
        assert shipper.halted == ()
        shipper.close()

    assert await _stored_ids(admin) == sorted(event.uuid for event in events)


async def test_refusals_and_replays_are_counted_and_never_stored_as_usage(
    shipper: Shipper, tmp_path: Path, admin: asyncpg.Connection
) -> None:
    limited = Refusal("acct_a", "live", "address/validate", "2026-11-21", "rate-limited", 3)
    replayed = Refusal("acct_a", "live", "stock/reserve", "2026-11-21", "replayed", 1)
    async with open_journal(tmp_path / "worker-000") as journal:
        await append_refusals(journal, limited, replayed)
        await append_refusals(journal, limited)
        await _ship_all(shipper)
        await append_refusals(journal, limited)
        await _ship_all(shipper)

    counts = await admin.fetch(
        "SELECT operation, day, reason, calls FROM billing.refusal_count ORDER BY operation"
    )
    assert [tuple(row) for row in counts] == [
        ("address/validate", date(2026, 11, 21), "rate-limited", 9),
        ("stock/reserve", date(2026, 11, 21), "replayed", 1),
    ]
    assert await _stored_ids(admin) == []


@pytest.mark.parametrize("days", [-400, -40, 0, 14, 30])
async def test_an_event_is_stored_in_the_partition_of_its_day_however_late_it_is_shipped(
    shipper: Shipper, tmp_path: Path, admin: asyncpg.Connection, days: int
) -> None:
    event = usage_event(NOON + timedelta(days=days))
    await write_journal(tmp_path / "worker-000", [event])

    await shipper.ship_round()

    partition = await admin.fetchval("SELECT tableoid::regclass::text FROM billing.usage_event")
    assert partition == f"billing.usage_event_{NOON + timedelta(days=days):%Y%m%d}"


async def test_a_journal_whose_disk_was_rolled_back_halts_and_the_others_go_on(
    shipper: Shipper, tmp_path: Path, admin: asyncpg.Connection
) -> None:
    await write_journal(tmp_path / "worker-000", [usage_event()])
    await _ship_all(shipper)
    await admin.execute("UPDATE billing.ship_offset SET last_seq = 5")
    healthy = usage_event()
    await write_journal(tmp_path / "worker-001", [healthy])

    done = await shipper.ship_round()

    assert [(halt.journal.name, halt.case) for halt in done.halts] == [
        ("worker-000", "journal-behind-shipped")
    ]
    assert healthy.uuid in await _stored_ids(admin)


async def test_a_journal_that_is_not_the_one_that_was_shipped_halts(
    billing_pool: asyncpg.Pool, tmp_path: Path, clock: ManualClock, admin: asyncpg.Connection
) -> None:
    async with open_journal(tmp_path / "worker-000") as journal:
        await append_events(journal, [usage_event()])
        first = Shipper(billing_pool, tmp_path, None, clock)
        await _ship_all(first)
        first.close()
        await admin.execute("UPDATE billing.ship_offset SET chain = '\\x00'")
        await append_events(journal, [usage_event()])
        second = Shipper(billing_pool, tmp_path, None, clock)
        done = await second.ship_round()
        second.close()

    assert [halt.case for halt in done.halts] == ["chain-mismatch"]
    assert len(await _stored_ids(admin)) == 1


def _as_written_by_a_newer_version() -> bytes:
    fields = msgspec.msgpack.decode(encode_record(usage_event()))
    return msgspec.msgpack.encode([*fields, "a field this version does not know"])


@pytest.mark.parametrize(
    ("kind", "payload", "case"),
    [
        (9, b"", "unknown-record-kind"),
        (USAGE_EVENT_KIND, b"\xc1", "unreadable-record"),
        (USAGE_EVENT_KIND, _as_written_by_a_newer_version(), "unreadable-record"),
        (USAGE_EVENT_KIND, encode_record(usage_event(id="not an id")), "unreadable-record"),
        (USAGE_EVENT_KIND, encode_record(usage_event(units="many")), "unreadable-record"),
        (USAGE_EVENT_KIND, encode_record(usage_event(id="f" * 32)), "unreadable-record"),
        (USAGE_EVENT_KIND, encode_record(usage_event(units="-1")), "event-refused"),
        (USAGE_EVENT_KIND, encode_record(usage_event(status=70_000)), "event-refused"),
        (USAGE_EVENT_KIND, encode_record(usage_event(key_id="\0")), "event-refused"),
    ],
)
async def test_a_record_that_cannot_be_stored_whole_halts_its_journal_and_keeps_everything(
    shipper: Shipper, tmp_path: Path, admin: asyncpg.Connection, kind: int, payload: bytes, case: str
) -> None:
    async with open_journal(tmp_path / "worker-000") as journal:
        await append_events(journal, [usage_event()])
        await journal.append(kind, payload)
        await append_events(journal, [usage_event()])

        done = await shipper.ship_round()

    assert [halt.case for halt in done.halts] == [case]
    assert [halt.case for halt in shipper.halted] == [case]
    assert await _stored_ids(admin) == []
    assert await admin.fetchval("SELECT coalesce(sum(last_seq), 0) FROM billing.ship_offset") == 0


async def test_an_event_that_is_stored_already_halts_and_is_never_passed_over(
    shipper: Shipper, tmp_path: Path, admin: asyncpg.Connection
) -> None:
    event = usage_event()
    await write_journal(tmp_path / "worker-000", [event])
    await _ship_all(shipper)
    await write_journal(tmp_path / "worker-001", [usage_event(), event])

    done = await shipper.ship_round()

    assert [halt.case for halt in done.halts] == ["event-already-stored"]
    assert event.id in done.halts[0].detail.replace("-", "")
    assert await _stored_ids(admin) == [event.uuid]


async def test_a_halted_journal_goes_on_by_itself_after_the_repair(
    shipper: Shipper, tmp_path: Path, clock: ManualClock, admin: asyncpg.Connection
) -> None:
    await write_journal(tmp_path / "worker-000", [usage_event()])
    await _ship_all(shipper)
    await admin.execute("UPDATE billing.ship_offset SET last_seq = 5")
    await shipper.ship_round()
    await admin.execute("UPDATE billing.ship_offset SET last_seq = 1")
    await write_journal(tmp_path / "worker-000", [usage_event()])

    assert not (await shipper.ship_round()).records
    assert shipper.halted
    clock.advance(61)
    assert (await shipper.ship_round()).events == 1
    assert shipper.halted == ()


async def test_an_orphans_damaged_end_is_named_and_not_taken_for_a_batch_under_way(
    shipper: Shipper, tmp_path: Path, clock: ManualClock, admin: asyncpg.Connection
) -> None:
    kept, damaged = usage_event(), usage_event()
    directory = tmp_path / "worker-007"
    async with open_journal(directory) as journal:
        await append_events(journal, [kept])
        await append_events(journal, [damaged])
    _flip_a_byte_of(directory, damaged.id.encode())
    await _ship_all(shipper)
    assert await _stored_ids(admin) == [kept.uuid]
    assert shipper.halted == ()

    clock.advance(31)
    done = await shipper.ship_round()

    assert [halt.case for halt in done.halts] == ["last-payload-damaged"]


async def test_an_orphan_gets_back_from_its_mirror_what_its_disk_has_lost(
    billing_pool: asyncpg.Pool, tmp_path: Path, clock: ManualClock, admin: asyncpg.Connection
) -> None:
    kept, lost = usage_event(), usage_event()
    directory, mirrors = tmp_path / "journals" / "worker-000", tmp_path / "mirrors"
    async with open_journal(directory, mirrors / "worker-000") as journal:
        await append_events(journal, [kept])
        await append_events(journal, [lost])
    _erase_from(directory, lost.id.encode())
    shipper = Shipper(billing_pool, tmp_path / "journals", mirrors, clock)
    await _ship_all(shipper)
    assert await _stored_ids(admin) == [kept.uuid]

    clock.advance(31)
    await shipper.ship_round()
    await _ship_all(shipper)
    shipper.close()

    assert await _stored_ids(admin) == sorted([kept.uuid, lost.uuid])


async def test_journals_that_cannot_be_listed_are_an_alarm(
    billing_pool: asyncpg.Pool, tmp_path: Path, clock: ManualClock
) -> None:
    with pytest.raises(ShippingHalted, match="unreadable-file"):
        await Shipper(billing_pool, tmp_path / "unmounted", None, clock).ship_round()


async def test_a_journal_that_is_being_written_is_not_adopted(
    shipper: Shipper, tmp_path: Path, clock: ManualClock, admin: asyncpg.Connection
) -> None:
    async with open_journal(tmp_path / "worker-000") as journal:
        await append_events(journal, [usage_event()])
        await _ship_all(shipper)
        clock.advance(31)
        await _ship_all(shipper)
        await append_events(journal, [usage_event()])
        await _ship_all(shipper)

    assert len(await _stored_ids(admin)) == 2


async def test_segments_are_removed_35_days_after_they_were_shipped_and_never_before_shipping(
    billing_pool: asyncpg.Pool, tmp_path: Path
) -> None:
    directory = tmp_path / "worker-000"
    for _ in range(3):
        await write_journal(directory, [usage_event()])
    clock = ManualClock(datetime.now(UTC))
    shipper = Shipper(billing_pool, tmp_path, None, clock)
    clock.advance(timedelta(days=36).total_seconds())
    await shipper.ship_round()
    clock.advance(-timedelta(days=2).total_seconds())
    assert await shipper.prune() == 0
    clock.advance(timedelta(days=2).total_seconds())
    assert await shipper.prune() == 2

    async with open_journal(directory) as journal:
        await append_events(journal, [usage_event()])
        assert (await shipper.ship_round()).events == 1
    shipper.close()


def _segment_with(directory: Path, content: bytes) -> tuple[Path, bytearray]:
    (path,) = [path for path in directory.glob("segment-*.journal") if content in path.read_bytes()]
    return path, bytearray(path.read_bytes())


def _flip_a_byte_of(directory: Path, content: bytes) -> None:
    path, image = _segment_with(directory, content)
    image[image.index(content)] ^= 1
    path.write_bytes(image)


def _erase_from(directory: Path, content: bytes) -> None:
    """As if the batch with this content and all after it had never been written."""
    path, image = _segment_with(directory, content)
    batch = image.index(content) // 512 * 512
    image[batch:] = bytes(len(image) - batch)
    path.write_bytes(image)


async def test_records_appended_while_shipping_runs_all_arrive(
    shipper: Shipper, tmp_path: Path, admin: asyncpg.Connection
) -> None:
    events = [usage_event() for _ in range(2_000)]

    async def call(journal: Journal) -> None:
        for start in range(0, len(events), 20):
            await append_events(journal, events[start : start + 20])

    async with open_journal(tmp_path / "worker-000") as journal:
        calls = asyncio.create_task(call(journal))
        while not calls.done():
            await shipper.ship_round()
            await asyncio.sleep(0)
        await calls
    await _ship_all(shipper)

    assert await _stored_ids(admin) == sorted(event.uuid for event in events)
