"""Who reads /metrics: this machine, or a bearer of the operator's token. Nobody else, whatever a proxy says."""

import asyncio
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.control.health import _may_read, collected
from tests.gateways import BERLIN, RunningGateway


async def test_metrics_are_for_this_machine_and_not_for_whom_a_proxy_speaks_for(
    gateway: RunningGateway,
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200
    here = await gateway.client.get("/metrics")
    assert (here.status_code, here.headers["content-type"].partition(";")[0]) == (200, "text/plain")
    assert "ordergate_call_duration_seconds" in here.text
    # A proxy on this machine names whom it speaks for (RFC 7239, 6: an address, `unknown`, or a name of its own).
    for forwarded in (
        "203.0.113.9",
        "127.0.0.1, 203.0.113.9",
        "2001:db8::9",
        "unknown",
        "_hidden",
        "'",
        "::1]",
    ):
        reply = await gateway.client.get("/metrics", headers={"X-Forwarded-For": forwarded})
        assert (reply.status_code, reply.json()["type"]) == (403, "/problems/forbidden"), forwarded


@pytest.mark.parametrize(
    ("authorization", "readable"),
    [("Bearer s3cret", True), ("Bearer s3cre", False), ("s3cret", False), ("", False), ("Bearer é", False)],
)
def test_with_a_token_only_its_bearer_reads_wherever_from(authorization: str, readable: bool) -> None:
    request: Any = SimpleNamespace(
        headers={"authorization": authorization}, client=SimpleNamespace(host="127.0.0.1")
    )
    assert _may_read(request, "s3cret") is readable


async def test_metrics_say_how_a_worker_stands(gateway: RunningGateway) -> None:
    await asyncio.sleep(1.2)
    figures = {
        name: float(value)
        for name, _, value in (
            line.rpartition(" ")
            for line in (await gateway.client.get("/metrics")).text.splitlines()
            if not line.startswith("#")
        )
    }
    assert figures["ordergate_journal_accepts"] == 1
    assert figures["ordergate_journal_free_bytes"] > 2**20
    assert figures["ordergate_database_connections"] == 8
    assert 0 <= figures["ordergate_database_connections_in_use"] <= 8
    assert 0 <= figures["ordergate_directory_age_seconds"] < 5


_BILLING = """
from billing.metrics import Metrics
metrics = Metrics()
metrics.report(ship_lag_ms=99_000, roll_up_lag_ms=1, halted=0, events=5, now_ns=10**18)
metrics.report(ship_lag_ms=1_500, roll_up_lag_ms=250, halted=1, events=7, now_ns=2 * 10**18)
"""
_WORKER = """
import sys
from prometheus_client import CollectorRegistry
from gateway.telemetry import Standing
Standing(CollectorRegistry()).show(
    journal_accepts=sys.argv[1] == "healthy", journal_free_bytes=int(sys.argv[2]), connections=8,
    connections_in_use=3, directory_age_s=float(sys.argv[3]),
)
print("shown", flush=True)
sys.stdin.read()
"""


async def test_metrics_are_those_of_all_processes_and_of_workers_only_while_they_live(tmp_path: Path) -> None:
    async def start(code: str, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            code,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        )

    billing = await start(_BILLING)
    workers = [await start(_WORKER, "healthy", "5000", "0.5"), await start(_WORKER, "failed", "3000", "7")]
    await billing.communicate()
    assert billing.returncode == 0
    for worker in workers:
        assert worker.stdout is not None
        assert await worker.stdout.readline() == b"shown\n"

    def figures() -> dict[str, float | None]:
        registry = collected(tmp_path)
        names = (
            "ship_lag_seconds",
            "roll_up_lag_seconds",
            "journals_halted",
            "events_shipped_total",
            "billing_reported_timestamp_seconds",
            "journal_accepts",
            "journal_free_bytes",
            "database_connections_in_use",
            "directory_age_seconds",
        )
        return {name: registry.get_sample_value(f"ordergate_{name}") for name in names}

    told = {
        "ship_lag_seconds": 1.5,
        "roll_up_lag_seconds": 0.25,
        "journals_halted": 1,
        "events_shipped_total": 12,
        "billing_reported_timestamp_seconds": 2e9,
    }
    assert figures() == told | {
        "journal_accepts": 0,
        "journal_free_bytes": 3000,
        "database_connections_in_use": 6,
        "directory_age_seconds": 7,
    }
    await workers[1].communicate(b"")
    assert figures() == told | {
        "journal_accepts": 1,
        "journal_free_bytes": 5000,
        "database_connections_in_use": 3,
        "directory_age_seconds": 0.5,
    }
    await workers[0].communicate(b"")
