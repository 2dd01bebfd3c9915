"""`python -m tests.contract.fuzz --count 100000 --service address`: the long form of test_fuzz.py.

Ends with status 0 when every reply kept the contract and the books agree, and with the smallest request that did not
otherwise.
"""

import argparse
import asyncio
import contextlib
import gc
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from atomic_services import registry
from gateway.transport import RawRequest, Reply, RequestHead
from tests.contract.attacks import KEY, Attack, attacks, good
from tests.contract.verdict import Verdict
from tests.databases import DatabaseServer
from tests.gateways import RunningGateway, running_gateway

BATCH_MAX = 10
# Hypothesis' own limits are made for small inputs and quick tests.
UNHURRIED = (
    HealthCheck.function_scoped_fixture,
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.large_base_example,
)
_ROUND = 5_000
# Hypothesis remembers much, and looking through it all takes a second: not while a call is under way, whose deadline it
# would be.
_COLLECTED = 1_000


class Target:
    """A running worker that is attacked with the key of one account."""

    def __init__(self, gateway: RunningGateway, key: str) -> None:
        """Use `target_in`."""
        self._gateway = gateway
        self._key = key.encode()
        self.verdict = Verdict()

    async def attack(self, batch: Sequence[Attack]) -> None:
        """Send a batch at once, past the HTTP server, and judge the replies; AssertionError shows the request."""
        for attack, reply in zip(batch, await asyncio.gather(*map(self._handled, batch)), strict=True):
            self._judge(
                attack,
                reply.status,
                {name.decode(): value.decode() for name, value in reply.headers},
                reply.body,
            )

    async def attack_over_http(self, attack: Attack) -> None:
        """Send one request to the port, on a connection of its own. A server may close it without a word."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._gateway.port)
        try:
            writer.write(self._bytes(attack))
            with contextlib.suppress(ConnectionResetError, asyncio.IncompleteReadError):
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
                status_line, *lines = head.decode("latin-1").split("\r\n")
                headers = dict(line.split(": ", 1) for line in lines if line)
                length = 0 if attack.method == "HEAD" else int(headers["content-length"])
                body = await asyncio.wait_for(reader.readexactly(length), 20)
                if attack.method != "HEAD":
                    self._judge(attack, int(status_line.split()[1]), headers, body)
        finally:
            writer.close()

    async def compare_books(self) -> None:
        """See `Verdict.compare`."""
        await self.verdict.compare(self._gateway.home, self._gateway.admin)

    async def _handled(self, attack: Attack) -> Reply:
        raw = RawRequest(RequestHead(attack.method, attack.path, self._signed(attack)), attack.body)
        return await self._gateway.gateway.pipeline.handle_call(raw)

    def _signed(self, attack: Attack) -> tuple[tuple[bytes, bytes], ...]:
        return tuple((name, value.replace(KEY, self._key)) for name, value in attack.headers)

    def _bytes(self, attack: Attack) -> bytes:
        headers = (*self._signed(attack), (b"content-length", b"%d" % len(attack.body)))
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        return attack.method.encode() + b" " + attack.path + b" HTTP/1.1\r\n" + lines + b"\r\n" + attack.body

    def _judge(self, attack: Attack, status: int, headers: dict[str, str], body: bytes) -> None:
        try:
            self.verdict.judge(attack, status, headers, body)
        except (AssertionError, KeyError, ValueError, IndexError, TypeError) as error:
            shown = f"{attack.method} {attack.path!r} {attack.headers!r} {attack.body[:2000]!r}\n-> {status} {headers} {body[:2000]!r}"
            raise AssertionError(f"{shown}\n{type(error).__name__}: {error}") from error


async def target_in(gateway: RunningGateway) -> Target:
    """A target whose account may call everything as often as it likes, has stock, and holds some of it."""

    def without_limits(document: dict[str, Any]) -> None:
        document["limits"] = []

    for service in registry.SERVICES:
        await gateway.publish(service, without_limits)
    opened = await gateway.open_account(
        plans={"address": "internal-2026", "stock": "internal-2026", "bench": "bench"}
    )
    target = Target(gateway, await gateway.create_key(opened))
    await target.attack(
        [
            good("stock/adjust", sku=sku, warehouse=place, quantity=10**6, reason="x")
            for sku in "AB"
            for place in "NS"
        ]
    )
    lines = [{"sku": "A", "quantity": 5}, {"sku": "B", "quantity": 3, "warehouse": "N"}]
    await target.attack(
        [
            good("stock/reserve", reservation_id=f"r{number}", lines=lines, ttl_s=86_400)
            for number in range(18)
        ]
    )
    return target


def good_ones() -> list[Attack]:
    """A good request to every operation, of a target on which nothing was done yet: its passport's first example, or with a
    reservation that is held."""
    of_reservations: dict[str, dict[str, Any]] = {
        "stock/reserve": {"reservation_id": "s1", "lines": [{"sku": "A", "quantity": 1}], "ttl_s": 900},
        "stock/extend": {"reservation_id": "r0", "ttl_s": 86_400},
        "stock/confirm": {"reservation_id": "r1"},
        "stock/release": {"reservation_id": "r2"},
    }
    examples = {
        f"{passport.service}/{entry.id}": entry.examples[0].request
        for passport in registry.built_in_passports()
        for entry in passport.operations
    }
    return [good(name, **fields) for name, fields in {**examples, **of_reservations}.items()]


@contextlib.asynccontextmanager
async def _installation(server: DatabaseServer, folder: Path) -> AsyncIterator[Target]:
    await server.prepare()
    database = await server.create()
    admin = await asyncpg.connect(**database.admin())
    try:
        async with running_gateway(database, folder / "home", admin) as gateway:
            yield await target_in(gateway)
    finally:
        await admin.close()


def _round(runner: asyncio.Runner, target: Target, service: str, count: int, number: int) -> int:
    """Send at least `count` requests that this seed leads to; how many they were."""
    sent = 0

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(st.lists(attacks(service), min_size=BATCH_MAX, max_size=BATCH_MAX))
    def go_on(batch: list[Attack]) -> None:
        nonlocal sent
        if sent >= count:
            raise _Done
        runner.run(target.attack(batch))
        sent += len(batch)
        if sent % _COLLECTED == 0:
            gc.collect()

    with contextlib.suppress(_Done):
        go_on()
    return sent


def _run(runner: asyncio.Runner, target: Target, service: str, count: int, number: int) -> int:
    """Rounds, because Hypothesis remembers every request of one; each begins with the next seed."""
    sent, begin = 0, time.monotonic()
    while sent < count:
        sent += _round(runner, target, service, min(_ROUND, count - sent), number)
        number += 1
        print(
            f"{sent} of {count} requests after {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True
        )
    runner.run(target.compare_books())
    return sent


class _Done(BaseException):
    """Enough has been sent: Hypothesis lets what is no Exception pass at once."""


def main() -> int:
    """Attack one service with `--count` requests; `--seed` repeats a run."""
    parser = argparse.ArgumentParser(prog="python -m tests.contract.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--service", choices=sorted(registry.SERVICES), required=True)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", file=sys.stderr, flush=True)
    server = DatabaseServer()
    begin = time.monotonic()
    gc.disable()
    try:
        server.start()
        with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
            installation = _installation(server, Path(folder))
            target = runner.run(installation.__aenter__())
            try:
                sent = _run(runner, target, arguments.service, arguments.count, arguments.seed)
            finally:
                runner.run(installation.__aexit__(None, None, None))
    finally:
        server.remove()
    for (operation, ending), times in sorted(target.verdict.counts.items()):
        print(f"{times:8} {operation:24} {ending}")
    print(
        f"{sent} requests in {time.monotonic() - begin:.0f} s, seed {arguments.seed}: the contract held, the books agree"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
