"""Calls as the gateway records them, for tests of what billing makes of them."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from billing.journal import Journal
from catalog.usage_event import REFUSALS_KIND, USAGE_EVENT_KIND, Refusal, UsageEvent, encode_record
from catalog.vocabulary.clock import SystemClock, to_ns
from catalog.vocabulary.ids import new_event_id

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
_SEGMENT_BYTES = 128 * 1024

_CALL = UsageEvent(
    id="",
    occurred_at_ns=0,
    environment="live",
    account_id="acct_a",
    application_id="app_a",
    key_id="key_a",
    cost_centre_id="cc_a",
    subscription_id="sub_a",
    operation="address/validate",
    passport_version="1.0.0",
    class_="ok",
    outcome="success",
    fault="none",
    billable=True,
    units="1",
    price_version="price_a",
    payer="acct_a",
    status=200,
    latency_us=1_500,
)


def usage_event(occurred_at: datetime = NOON, **fields: Any) -> UsageEvent:
    """A call with an id of its own; `account_id` pays unless `payer` says otherwise."""
    now_ns = to_ns(occurred_at)
    fields.setdefault("payer", fields.get("account_id", _CALL.payer))
    fields.setdefault("id", new_event_id(now_ns).hex)
    return msgspec.structs.replace(_CALL, occurred_at_ns=now_ns, **fields)


@asynccontextmanager
async def open_journal(directory: Path, mirror: Path | None = None) -> AsyncIterator[Journal]:
    """The journal in a directory, as a gateway worker has it open; small, and without a disk reserve."""
    journal = await Journal.open(
        directory, clock=SystemClock(), segment_bytes=_SEGMENT_BYTES, mirror=mirror, reserve_bytes=0
    )
    try:
        yield journal
    finally:
        await journal.close()


async def append_events(journal: Journal, events: Iterable[UsageEvent]) -> None:
    """Return when all are durable."""
    for future in [journal.append(USAGE_EVENT_KIND, encode_record(event)) for event in events]:
        await future


async def append_refusals(journal: Journal, *refusals: Refusal) -> None:
    """One flush of the gateway's refusal counters, durable."""
    await journal.append(REFUSALS_KIND, encode_record(list(refusals)))


async def write_journal(directory: Path, events: Iterable[UsageEvent]) -> None:
    """A journal with these events, whose writer has gone."""
    async with open_journal(directory) as journal:
        await append_events(journal, events)


async def add_account(
    connection: asyncpg.Connection, account_id: str = "acct_a", timezone: str = "UTC", kind: str = "internal"
) -> None:
    """A paying account, in CNY."""
    await connection.execute(
        "INSERT INTO catalog.account (id, name, title, kind, currency, timezone, created_at) "
        "VALUES ($1, $1, '{}', $2, 'CNY', $3, $4)",
        account_id,
        kind,
        timezone,
        NOON,
    )
