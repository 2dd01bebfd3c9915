"""How fast usage from elsewhere is taken: batches of 1,000 CloudEvents over HTTP into one worker.

Every tenth batch is sent again, and must come back as duplicates. Exit status 1 below 10,000 events/s, stored durably.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import httpx
import msgspec

from catalog.vocabulary.clock import rfc3339
from tests.performance.installation import Installation, installed, worker
from tests.performance.provenance import provenance

_BAR_PER_S = 10_000
_BATCH = 1_000
_SENDERS = 4
_REPEATED = 10


def _batch(number: int, now: datetime) -> bytes:
    return msgspec.json.encode(
        [
            {
                "specversion": "1.0",
                "type": "ordergate.usage.v1",
                "source": "/bench",
                "id": f"{number}-{index}",
                "subject": "address/validate",
                "time": rfc3339(now),
                "data": {"units": "1"},
            }
            for index in range(_BATCH)
        ]
    )


async def _send(port: int, key: str, batches: list[bytes]) -> tuple[int, int, float]:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/cloudevents-batch+json"}
    waiting = iter([*batches, *batches[::_REPEATED]])
    accepted = duplicates = 0

    async def sender(client: httpx.AsyncClient) -> None:
        nonlocal accepted, duplicates
        for content in waiting:
            reply = await client.post("/api/usage/events", content=content, headers=headers)
            reply.raise_for_status()
            counts = reply.json()
            accepted += counts["accepted"]
            duplicates += counts["duplicates"]

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        started = time.perf_counter()
        await asyncio.gather(*(sender(client) for _ in range(_SENDERS)))
        return accepted, duplicates, time.perf_counter() - started


async def _stored(installation: Installation) -> int:
    connection = await asyncpg.connect(**installation.database.admin())
    try:
        stored: int = await connection.fetchval(
            "SELECT count(*) FROM billing.usage_event WHERE recorded_by = 'import'"
        )
        return stored
    finally:
        await connection.close()


def main() -> int:
    """Measure once and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=200)
    count = parser.parse_args().batches
    print(provenance(batches=count, batch=_BATCH))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        home.chmod(0o711)
        with installed(home) as installation, worker(installation, home / "log") as (_, port):
            batches = [_batch(number, datetime.now(UTC)) for number in range(count)]
            accepted, duplicates, seconds = asyncio.run(_send(port, installation.key, batches))
            stored = asyncio.run(_stored(installation))
    assert accepted == stored == count * _BATCH, "every event is stored once"
    assert duplicates == len(batches[::_REPEATED]) * _BATCH
    per_s = (accepted + duplicates) / seconds
    verdict = "PASS" if per_s >= _BAR_PER_S else "FAIL"
    print(f"{verdict}  {accepted + duplicates:,} events, {per_s:,.0f} a second (bar >= {_BAR_PER_S:,})")
    return verdict == "FAIL"


if __name__ == "__main__":
    sys.exit(main())
