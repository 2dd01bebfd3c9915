"""What a durable append costs: 64 callers in a closed loop, 300-byte records, one journal. Run as a script."""

import asyncio
import json
import platform
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from billing.journal import Journal, verify
from catalog.vocabulary.clock import SystemClock

CALLERS = 64
RECORD_BYTES = 300


async def measure(directory: Path, appends: int) -> dict[str, float | int | str]:
    """Append `appends` records from 64 callers; returns rates, CPU and latencies of this run."""
    journal = await Journal.open(directory, clock=SystemClock(), reserve_bytes=0)
    payload = bytes(RECORD_BYTES)
    latencies: list[float] = []

    async def caller() -> None:
        for _ in range(appends // CALLERS):
            begun = time.perf_counter()
            await journal.append(1, payload)
            latencies.append(time.perf_counter() - begun)

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    await journal.close()
    latencies.sort()
    return {
        "records": len(latencies),
        "records_per_s": round(len(latencies) / wall),
        "cpu_us_per_record": round(cpu / len(latencies) * 1e6, 2),
        "p50_us": round(latencies[len(latencies) // 2] * 1e6),
        "p99_us": round(latencies[len(latencies) * 99 // 100] * 1e6),
        "batches": verify(directory).batches,
        "python": platform.python_version(),
    }


def main() -> None:
    """Print one line of JSON; the first argument is the number of appends (default 100,000)."""
    appends = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as directory:
        print(json.dumps(uvloop.run(measure(Path(directory), appends))))


if __name__ == "__main__":
    main()
