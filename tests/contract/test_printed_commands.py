"""What the documentation prints can be pasted: every command is answered as the contract says, by what a first start serves."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest

from catalog.vocabulary.clock import ManualClock
from deploy.database import Database
from tests.demo_groups import first_start
from tests.gateways import RunningGateway, running_gateway

# Refusals that would say that the command itself is wrong.
_FAULTS_OF_THE_COMMAND = {
    "malformed-request",
    "malformed-json",
    "invalid-input",
    "idempotency-key-missing",
    "unauthenticated",
    "forbidden",
    "method-not-allowed",
    "unknown-operation",
    "unsupported-media-type",
    "too-large",
}
# A shell expands the command; in curl's place stands what writes down how it was called.
_SHELL = "curl() {{ printf '%s\\0' \"$@\"; }}\n{command}"


class Pasted(msgspec.Struct, frozen=True):
    """A command as a shell understands it."""

    method: str
    url: str
    headers: dict[str, str]
    body: str | None

    @property
    def path(self) -> str:
        """Where it goes, without the query."""
        return httpx.URL(self.url).path


@pytest.fixture
async def demo(
    database: Database, tmp_path: Path, admin: asyncpg.Connection
) -> AsyncIterator[tuple[RunningGateway, str]]:
    """A served worker over the demo's books, and the key that a first start shows."""
    home = tmp_path / "home"
    key = await first_start(home, database, ManualClock(datetime.now(UTC)))
    assert key is not None
    async with running_gateway(database, home, admin) as running:
        yield running, key


def printed(page: str) -> Iterator[str]:
    """The commands of a page, as they would be copied."""
    for block in re.findall(r'<pre class="shell"><code>(.*?)</code></pre>', page, re.DOTALL):
        if block.startswith("curl "):
            yield unescape(block)


async def pasted(command: str, key: str) -> Pasted:
    """What a POSIX shell without anything installed makes of a command."""
    shell = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-euc",
        _SHELL.format(command=command),
        stdout=asyncio.subprocess.PIPE,
        env={"ORDERGATE_KEY": key, "PATH": "/usr/bin:/bin"},
    )
    output, _ = await shell.communicate()
    assert shell.returncode == 0, command
    method, url, body = None, "", None
    headers: dict[str, str] = {}
    words = iter(output.decode().split("\0")[:-1])
    for word in words:
        match word:
            case "-i" | "-s":
                pass
            case "-X":
                method = next(words)
            case "-H":
                name, _, value = next(words).partition(": ")
                headers[name.lower()] = value
            case "-d":
                body = next(words)
            case _:
                assert not url, f"one address in {command}"
                url = word
    if body is not None:
        # As curl does where a command does not say better.
        headers.setdefault("content-type", "application/x-www-form-urlencoded")
    return Pasted(method or ("GET" if body is None else "POST"), url, headers, body)


def documented(document: dict[str, Any], command: Pasted) -> tuple[str, set[str]]:
    """The contract's path that a command goes to, and the problems that can come instead of the answer."""
    for template, methods in document["paths"].items():
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, command.path) and command.method.lower() in methods:
            names: set[str] = set()
            for response in methods[command.method.lower()]["responses"].values():
                if "$ref" in response:
                    shared = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
                    names |= set(shared["content"]["application/problem+json"]["examples"])
            return template, names
    raise AssertionError(f"{command.method} {command.path} is not in the contract")


async def test_every_printed_command_is_answered_as_the_contract_says(
    demo: tuple[RunningGateway, str],
) -> None:
    gateway, key = demo
    document = (await gateway.client.get("/openapi.json")).json()
    commands = list(printed((await gateway.client.get("/docs?lang=en")).text))
    assert commands == list(printed((await gateway.client.get("/docs?lang=zh-CN")).text))
    tried: set[tuple[str, str]] = set()
    refused: dict[str, str] = {}
    for text in commands:
        command = await pasted(text, key)
        template, problems = documented(document, command)
        tried.add((command.method, template))
        reply = await gateway.client.request(
            command.method, command.url, headers=command.headers, content=command.body
        )
        if not reply.is_success:
            name = reply.json()["type"].rpartition("/")[2]
            assert name in problems, (text, reply.text)
            assert name not in _FAULTS_OF_THE_COMMAND, (text, reply.text)
            refused[text] = name
        elif template == "/api/usage/events":
            # What is shown can be sent today, and again later: it happened when it is sent.
            assert (reply.json()["accepted"], reply.json()["refused"]) == (1, 0), reply.text
            assert command.body is not None
            happened = datetime.fromisoformat(json.loads(command.body)["time"])
            assert abs(datetime.now(UTC) - happened) < timedelta(minutes=1)
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert tried == described, "every operation has a command"
    # What names a thing of the reader's own, and what the state of the books decides.
    answered = {"not-found", "conflict", "insufficient-stock", "reservation-not-found", "stock-not-granted"}
    assert set(refused.values()) <= answered, refused
