"""Load from wrk: one thread, 64 connections, a closed loop; and what it saw."""

import shutil
import subprocess

import msgspec

from tests.performance.servers import on_core
from tests.performance.templates import PEERS

CONNECTIONS = 64
LOAD_CORE = 1


class Load(msgspec.Struct, frozen=True):
    """What wrk counted in one run. `refused` are replies of 400 and above, `broken` are connection errors and time-outs."""

    calls: int
    duration_us: int
    refused: int
    broken: int
    p50_us: int
    p99_us: int

    @property
    def is_clean(self) -> bool:
        """Whether every call was answered as it should be."""
        return self.calls > 0 and self.refused == 0 and self.broken == 0


class LoadFailed(Exception):
    """wrk ended without a summary, or calls went wrong, so that a figure would mean nothing."""


def has_wrk() -> bool:
    """Whether the load generator is installed."""
    return shutil.which("wrk") is not None


def read_summary(output: str) -> Load:
    """The summary that `peers/call.lua` writes as the last line; `LoadFailed` if there is none."""
    lines = output.strip().splitlines()
    try:
        return msgspec.json.decode(lines[-1], type=Load)
    except (IndexError, msgspec.DecodeError):
        raise LoadFailed(f"wrk gave no summary:\n{output}") from None


def call_again_and_again(address: str, key: str, seconds: int) -> Load:
    """Load a server for `seconds`; `LoadFailed` unless every call succeeded."""
    finished = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(PEERS / "call.lua"), address],
        env={"BENCH_KEY": key, "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds + 30,
        check=False,
        preexec_fn=on_core(LOAD_CORE),
    )
    load = read_summary(finished.stdout)
    if not load.is_clean:
        raise LoadFailed(f"{address}: {load.refused} refused, {load.broken} broken of {load.calls} calls")
    return load
