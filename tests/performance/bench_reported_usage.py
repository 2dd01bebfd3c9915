"""How fast usage from elsewhere is taken: batches of 1,000 CloudEvents over HTTP into one worker.

Every tenth batch is sent again, and must come back as duplicates. With --limits the account pays in advance and has a hard
budget, and both must have counted each event once. Exit status 1 below 10,000 events/s, stored durably.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import asyncpg
import httpx
import msgspec

from catalog.vocabulary.clock import rfc3339
from tests.allowances import budget, grant
from tests.gateways import BERLIN
from tests.performance.installation import Installation, installed, worker
from tests.performance.provenance import provenance

_BAR_PER_S = 10_000
_BATCH = 1_000
_SENDERS = 4
_REPEATED = 10
_PRICE = Decimal("0.055")
# More than is reported: what is left over is lent to the one worker.
_ENOUGH = "1000000.00"


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


async def _limit(installation: Installation, port: int) -> None:
    """The account gets its limits, and a call is held to both."""
    now = datetime.now(UTC)
    await grant(installation.database, installation.account.account, _ENOUGH, now)
    await budget(installation.database, installation.account.account, _ENOUGH, now)
    headers = {"authorization": f"Bearer {installation.key}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
        # Known to the worker within a second; its leases are back two seconds after the last call.
        await asyncio.sleep(1)
        (await client.post("/v1/address/validate", json=BERLIN)).raise_for_status()
        await asyncio.sleep(2)


async def _counted(installation: Installation) -> list[Decimal]:
    """What of each limit is used."""
    connection = await asyncpg.connect(**installation.database.admin())
    try:
        rows = await connection.fetch("SELECT used FROM billing.allowance ORDER BY kind")
        return [row["used"] for row in rows]
    finally:
        await connection.close()


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
    parser.add_argument("--limits", action="store_true", help="hold the account to credit and a hard budget")
    arguments = parser.parse_args()
    count: int = arguments.batches
    print(provenance(batches=count, batch=_BATCH, limits=arguments.limits))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        home.chmod(0o711)
        with installed(home) as installation, worker(installation, home / "log") as (_, port):
            if arguments.limits:
                asyncio.run(_limit(installation, port))
            batches = [_batch(number, datetime.now(UTC)) for number in range(count)]
            accepted, duplicates, seconds = asyncio.run(_send(port, installation.key, batches))
            stored = asyncio.run(_stored(installation))
            counted = asyncio.run(_counted(installation))
    assert accepted == stored == count * _BATCH, "every event is stored once"
    assert duplicates == len(batches[::_REPEATED]) * _BATCH
    assert counted == [(stored + 1) * _PRICE] * 2 * arguments.limits, (
        "each event is counted once, and one call"
    )
    per_s = (accepted + duplicates) / seconds
    verdict = "PASS" if per_s >= _BAR_PER_S else "FAIL"
    print(f"{verdict}  {accepted + duplicates:,} events, {per_s:,.0f} a second (bar >= {_BAR_PER_S:,})")
    return verdict == "FAIL"


if __name__ == "__main__":
    sys.exit(main())
