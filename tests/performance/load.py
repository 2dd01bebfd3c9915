"""Load from wrk: one thread, 64 connections, a closed loop; and what it saw."""

import http.client
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tests.performance.servers import on_core
from tests.performance.templates import PEERS

CONNECTIONS = 64
LOAD_CORE = 1
INSTALL = "apt-get install nginx-light libnginx-mod-http-lua lua-cjson wrk"
BODY = b'{"country":"DE","postal_code":"10115","locality":"Berlin","lines":["Invalidenstr. 116"]}'


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


def hindrance() -> str | None:
    """Why no load can be made on this machine, and what to do about it; None where it can."""
    if shutil.which("wrk") is None:
        return f"wrk makes the load; install it: {INSTALL}"
    if not {0, LOAD_CORE} <= os.sched_getaffinity(0):
        return "the server and the load need a core each: cores 0 and 1"
    return None


def read_summary(output: str) -> Load:
    """The summary that `peers/call.lua` writes as the last line; `LoadFailed` if there is none."""
    lines = output.strip().splitlines()
    try:
        return msgspec.json.decode(lines[-1], type=Load)
    except (IndexError, msgspec.DecodeError):
        raise LoadFailed(f"wrk gave no summary:\n{output}") from None


def call_again_and_again(address: str, key: str, seconds: int) -> Load:
    """Load a server for `seconds` with one key; `LoadFailed` unless every call succeeded."""
    return _clean(run_wrk("call.lua", {"BENCH_KEY": key}, address, seconds), address)


def call_with_each(address: str, keys: Path, seconds: int) -> Load:
    """The same with the keys of a file in turn, one a line."""
    return _clean(run_wrk("call.lua", {"BENCH_KEYS": str(keys)}, address, seconds), address)


def call_once(port: int, path: str, key: str) -> tuple[int, bytes]:
    """Status and body of one call."""
    return call_once_with(port, path, key, BODY)


def call_once_with(
    port: int, path: str, key: str, body: bytes, idempotency_key: str | None = None
) -> tuple[int, bytes]:
    """Status and reply of one call with a body of one's own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        connection.request("POST", path, body, headers)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def run_wrk(
    script: str, environment: Mapping[str, str], address: str, seconds: int, connections: int = CONNECTIONS
) -> Load:
    """One run of a script of `peers/`, whatever was answered; `LoadFailed` if wrk itself failed."""
    finished = subprocess.run(
        [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            "--timeout=15s",
            "-s",
            str(PEERS / script),
            address,
        ],
        env={**environment, "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds + 30,
        check=False,
        preexec_fn=on_core(LOAD_CORE),
    )
    return read_summary(finished.stdout)


def _clean(load: Load, address: str) -> Load:
    if not load.is_clean:
        raise LoadFailed(f"{address}: {load.refused} refused, {load.broken} broken of {load.calls} calls")
    return load
