"""Usage sent to /api/usage/events as a source elsewhere sends it, for tests of what becomes of it."""

import json
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx

from catalog.vocabulary.clock import to_ns
from tests.control_plane import Installation, Owner, eventually

BATCH = "application/cloudevents-batch+json"
SINGLE = "application/cloudevents+json"
PATH = "/api/usage/events"


async def opened(plane: Installation, admin: asyncpg.Connection, name: str) -> Owner:
    """An account that has been subscribed since the beginning of the year."""
    owner = await plane.open(name)
    january = datetime(2026, 1, 1, tzinfo=UTC)
    await admin.execute(
        "UPDATE catalog.subscription SET starts_at = $2 WHERE account_id = $1", owner.id, january
    )

    async def known() -> bool:
        record = plane.directory.current().accounts[owner.id]
        return all(
            one.starts_at_ns == to_ns(january) for held in record.subscriptions.values() for one in held
        )

    await eventually(known)
    return owner


def event(id_: str = "1", **fields: Any) -> dict[str, Any]:
    """One event; `fields` take the place of its attributes."""
    return {
        "specversion": "1.0",
        "type": "ordergate.usage.v1",
        "source": "/hefei/edge-box-7",
        "id": id_,
        "subject": "stock/adjust",
        "time": "2026-10-05T08:30:00Z",
        **fields,
    }


def correction(id_: str, corrects: str, units: str, **fields: Any) -> dict[str, Any]:
    """The quantity of such an event anew."""
    return event(id_, corrects=corrects, **{"data": {"units": units}, **fields})


async def send(plane: Installation, key: str, body: Any, type_: str = BATCH) -> httpx.Response:
    """The answer to a body."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await plane.client.post(
        PATH, content=content, headers={"authorization": f"Bearer {key}", "content-type": type_}
    )


async def told(plane: Installation, key: str, *events: dict[str, Any]) -> list[dict[str, Any]]:
    """What became of each event of a batch, in full."""
    reply = await send(plane, key, events)
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.json()["results"]
    return found


async def results(plane: Installation, key: str, body: Any, type_: str = BATCH) -> list[str]:
    """What became of each event, in a word."""
    reply = await send(plane, key, body, type_)
    assert reply.status_code == 200, reply.text
    return [one["result"] for one in reply.json()["results"]]
