"""Keys, peppers and what callers send about people stay where they belong: in the request and its reply."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from deploy.database import Database
from tests.fakes.journal_disk import memory_directory
from tests.gateways import RunningGateway, running_gateway
from tests.workers import Workers, running_workers

# One canary for each field that can hold something about a person; they look like nothing that we write ourselves.
PERSON = {
    "recipient": "Quetzalcoatl Recipientsson",
    "organization": "Zyzzyva Organisation",
    "lines": ["Xylophonweg 47b", "Hinterhaus Jabberwocky"],
    "locality": "Quuxburg",
    "postal_code": "QX99ZJ",
}
ADDRESS = {"country": "DE", **PERSON}
CANARIES = [word for value in PERSON.values() for word in ([value] if isinstance(value, str) else value)]

# A worker whose services fail, when told to, with the input in their mouths: in an exception, in its cause, and in
# PostgreSQL's own words.
FAILING = """
import sys
from msgspec.structs import replace
from atomic_services import registry

known = dict(registry.operations())
validate, adjust = known["address/validate"], known["stock/adjust"]

async def speak(request, context):
    if request.sorting_code != "fail":
        return await validate.run(request, context)
    try:
        raise KeyError(repr(request))
    except KeyError as error:
        raise ValueError(f"cannot read {request.lines[0]} for {request.recipient}") from error

async def ask(request, context):
    if request.warehouse != "fail":
        return await adjust.run(request, context)
    await context.unit_of_work().execute(f"SELECT '{request.reason}'::integer")

known["address/validate"] = replace(validate, run=speak)
known["stock/adjust"] = replace(adjust, run=ask)
registry.operations = lambda: known
from gateway.__main__ import main
sys.exit(main())
"""


@pytest.fixture
async def gateway(database: Database, admin: asyncpg.Connection) -> AsyncIterator[RunningGateway]:
    """Its home is in memory: every worker begins a journal of 64 MiB, which costs more than all else on a disk."""
    with memory_directory() as folder:
        async with running_gateway(database, folder / "home", admin) as running:
            yield running


class Collector:
    """An OpenTelemetry collector that keeps every byte it is sent."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Collector"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
            )
            self.received += head + await reader.readexactly(length)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        finally:
            writer.close()


def found(haystack: bytes, secrets: list[str]) -> list[str]:
    """The secrets that occur: as they are, in JSON's escapes, or in the hexadecimal form of PostgreSQL's bytes."""
    text = haystack.decode("utf-8", "replace").lower()
    return [
        secret
        for secret in secrets
        if secret.lower() in text or secret.encode().hex() in text or json.dumps(secret)[1:-1].lower() in text
    ]


async def dump(admin: asyncpg.Connection) -> bytes:
    """Every row of every table of ours, as text."""
    tables = await admin.fetch(
        "SELECT c.oid::regclass::text AS name FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
    )
    rows = [
        row["text"]
        for table in tables
        for row in await admin.fetch(f"SELECT t::text AS text FROM {table['name']} AS t")  # noqa: S608
    ]
    assert len(rows) > 20
    return "\n".join(rows).encode()


def files(home: Path) -> bytes:
    """Everything that an installation has written, but its pepper."""
    assert (home / "secrets" / "pepper.json").stat().st_mode & 0o077 == 0
    contents = [
        path.read_bytes() for path in home.rglob("*") if path.is_file() and path.name != "pepper.json"
    ]
    assert contents
    # Journals are made with room to grow.
    return b"\n".join(content.rstrip(b"\x00") for content in contents)


async def attack(url: str, key: str) -> list[httpx.Response]:
    """Good calls, and every kind of bad one that has the canaries in it: the replies to the bad ones."""
    bearer = {"Authorization": f"Bearer {key}"}
    wrong = [
        f"Bearer {key}x",
        f"Bearer {key[:-8]}AAAAAAAA",
        f"Basic {key}",
        key,
        f"Bearer {key.replace('live', 'test')}",
    ]
    bad_bodies: list[Any] = [
        {**ADDRESS, "country": 7}, {**ADDRESS, "planet": CANARIES}, {**ADDRESS, "country": "QQ"}, {"lines": [ADDRESS]},
        {**ADDRESS, "recipient": PERSON}, {**ADDRESS, "recipient": CANARIES[0] * 20}, {**ADDRESS, "lines": CANARIES[0]},
        {**ADDRESS, "language": CANARIES[0]}, {**ADDRESS, "lines": CANARIES * 2000}, CANARIES,
    ]  # fmt: skip
    text = json.dumps(ADDRESS).encode()
    raw_bodies = [
        text[:-1],
        text + b"x",
        text.replace(b'"country"', b'"lines"'),
        b"\xff" + text,
        text.replace(b"47b", b"\\u0000"),
    ]
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:

        async def call(operation: str, body: Any, **headers: str) -> httpx.Response:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent = {"Content-Type": "application/json", **bearer, **headers}
            return await client.post(f"/v1/{operation}", content=content, headers=sent)

        stock = {"sku": "A", "warehouse": "N", "quantity": 5, "reason": "x"}
        good = [
            await call("stock/adjust", stock, **{"Idempotency-Key": "first"}),
            await call("address/validate", ADDRESS),
            await call("address/normalise", ADDRESS),
        ]
        assert [reply.status_code for reply in good] == [200, 200, 200]
        failed = [
            await call(
                "stock/adjust",
                {**stock, "warehouse": "fail", "reason": CANARIES[0]},
                **{"Idempotency-Key": "second"},
            ),
            await call("address/validate", {**ADDRESS, "sorting_code": "fail"}),
        ]
        assert [reply.status_code for reply in failed] == [500, 500]
        others = [await call("address/validate", body) for body in (*bad_bodies, *raw_bodies)]
        others += [await call("address/validate", ADDRESS, Authorization=header) for header in wrong]
        others.append(await call(f"address/validate?recipient={CANARIES[0]}", ADDRESS))
        others.append(
            await call("address/validate", ADDRESS, **{"X-Note": key, "Content-Type": "text/plain"})
        )
        asked = ("/metrics", "/api/account", "/api/keys", "/api/calls", "/api/none")
        others += [await client.get(path, headers=bearer) for path in asked]
        for header in wrong:
            others.append(await client.get("/metrics", headers={"Authorization": header}))
            others.append(await client.get("/api/account", headers={"Authorization": header}))
    assert {reply.status_code for reply in others} == {200, 400, 401, 404, 413, 415}
    return failed + others


async def finish(workers: Workers) -> bytes:
    """What the workers have logged, once they have ended well."""
    assert await workers.stop() == 0
    return workers.log.read_bytes()


async def test_no_secret_and_nothing_about_a_person_is_kept_told_or_logged(
    gateway: RunningGateway, tmp_path: Path
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    peppers = json.loads((gateway.home.path / "secrets" / "pepper.json").read_text())
    # The public id names the key wherever keys are named; everything behind it is the secret.
    secrets = [key[21:], key[21:-6], *peppers.values(), *CANARIES]
    async with Collector().running() as collector:
        endpoint = f"http://127.0.0.1:{collector.port}"
        async with running_workers(
            gateway, tmp_path, program=FAILING, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint
        ) as workers:
            replies = await attack(f"http://127.0.0.1:{workers.port}", key)
            log = await finish(workers)
        spans = bytes(collector.received)
    for reply in replies:
        assert not found(reply.content, secrets), reply.text
        assert not found(str(reply.headers).encode(), secrets)
    assert spans.count(b"ordergate.call_id") > 25, "the calls were traced"
    assert not found(spans, secrets)
    assert log.count(b"the operation failed") == 2
    assert b"ValueError" in log, "what failed is named"
    assert b"in speak" in log, "and where"
    assert not found(log, secrets)
    assert not found(files(gateway.home.path), secrets)
    assert not found(await dump(gateway.admin), secrets)
