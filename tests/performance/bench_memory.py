"""What a worker keeps in memory with a whole installation in it:  python -m tests.performance.bench_memory

10,000 keys of 100 accounts and 200 services more than the built-in ones, published while the worker runs, and every
key used at least once. The bar is 200 MB of resident memory. Exit status 1 when it is missed.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from atomic_services.registry import built_in_passport
from catalog.accounts.open import open_account
from catalog.passport import check_passport, document_of
from catalog.registry.publish import publish
from catalog.vocabulary.clock import SystemClock, from_ns
from gateway.stores.keys import create_key
from gateway.stores.peppers import load_peppers
from tests.performance.installation import SUBSCRIPTIONS, Installation, acting, installed, worker
from tests.performance.load import LOAD_CORE, call_once, call_with_each, hindrance
from tests.performance.provenance import provenance

BAR_MB = 200
_ACCOUNTS = 100
_TEMPLATE = "address"
_ACTOR = "benchmark"
_PATH = "/v1/bench/echo"
_RUN_S = 3
_WAIT_S = 30.0


def main() -> int:
    """Fill a worker and print what it holds at each step."""
    parser = argparse.ArgumentParser(prog="bench_memory")
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--passports", type=int, default=200)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if (reason := hindrance()) is not None:
        print(f"SKIPPED: {reason}")
        return 0
    os.sched_setaffinity(0, {LOAD_CORE})
    print(provenance(keys=arguments.keys, passports=arguments.passports))
    with tempfile.TemporaryDirectory(prefix="ordergate-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with installed(folder) as installation, worker(installation, folder / "gateway.log") as (pid, port):
            _show("started", pid)
            keys = asyncio.run(_fill(installation, arguments.keys, arguments.passports))
            _wait_until_known(port, keys[-1])
            _show("filled", pid)
            file = folder / "keys"
            file.write_text("\n".join(keys), "ascii")
            calls = 0
            while calls < arguments.keys:
                calls += call_with_each(f"http://127.0.0.1:{port}{_PATH}", file, _RUN_S).calls
            resident_mb = _show(f"used, {calls:,} calls", pid)
    passed = resident_mb <= BAR_MB
    print(f"{'PASS' if passed else 'FAIL'}  {resident_mb:.0f} MB resident (bar <= {BAR_MB} MB)")
    return 0 if passed else 1


async def _fill(installation: Installation, keys: int, passports: int) -> list[str]:
    """Open the accounts, create the keys, publish the services; answers the keys."""
    now = from_ns(SystemClock().now_ns())
    peppers = load_peppers(installation.home.path)
    created = []
    async with acting(installation.database) as operator:
        for number in range(_ACCOUNTS):
            opened = await open_account(
                operator,
                name=f"unit-{number:03d}",
                kind="internal",
                currency="CNY",
                timezone="Asia/Shanghai",
                actor=_ACTOR,
                now=now,
                plans=SUBSCRIPTIONS,
            )
            for _ in range(keys // _ACCOUNTS):
                _, key = await create_key(
                    operator,
                    opened.account,
                    opened.application,
                    "live",
                    ("*",),
                    peppers,
                    actor=_ACTOR,
                    now=now,
                )
                created.append(key)
        template = built_in_passport(_TEMPLATE)
        assert template is not None
        for number in range(passports):
            passport = check_passport({**document_of(template), "service": f"service-{number:03d}"})
            # Their code is their own: a worker looks for code only when it starts.
            await publish(operator, passport, passport, _ACTOR, now)
    return created


def _wait_until_known(port: int, key: str) -> None:
    """Until the worker has taken over what was committed; keys and services came in one transaction."""
    deadline = time.monotonic() + _WAIT_S
    while call_once(port, _PATH, key)[0] != 200:
        assert time.monotonic() < deadline, "the worker did not take over the catalogue"
        time.sleep(0.1)


def _show(step: str, pid: int) -> float:
    resident_mb = _resident_mb(pid)
    print(f"{step:24}{resident_mb:8.1f} MB", flush=True)
    return resident_mb


def _resident_mb(pid: int) -> float:
    """Resident memory (Rss), shared pages counted in full."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("the kernel does not say what the process holds")


if __name__ == "__main__":
    sys.exit(main())
