"""What bytes on a connection do: the cases that servers are known to get wrong, and what we rely on of uvicorn's."""

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from gateway import http_protocol, lingering_close
from gateway.control.build import BODY_BYTES_MAX
from gateway.edge import BODY_MAX
from tests.gateways import RunningGateway

BODY = b'{"country":"DE","postal_code":"10115","locality":"Berlin","lines":["Invalidenstr. 116"]}'


class Connection:
    """A raw connection with the credential of one account."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
        self.reader = reader
        self.writer = writer
        self.key = key

    def request(self, *lines: str, body: bytes = BODY, method: str = "POST", target: str = "/v1/address/validate",
                version: str = "HTTP/1.1", length: bool = True) -> bytes:  # fmt: skip
        """The bytes of a good request; `lines` are added to its head."""
        head = [f"{method} {target} {version}", "Host: localhost", f"Authorization: Bearer {self.key}",
                "Content-Type: application/json", *lines]  # fmt: skip
        if length:
            head.append(f"Content-Length: {len(body)}")
        return "\r\n".join(head).encode() + b"\r\n\r\n" + body

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self) -> tuple[int, dict[str, str], bytes]:
        """The next reply: status, headers, body."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 20)
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if line)
        body = await asyncio.wait_for(self.reader.readexactly(int(headers.get("content-length", "0"))), 20)
        return int(status_line.split()[1]), headers, body

    async def is_closed(self) -> bool:
        """Whether the server has ended the connection."""
        try:
            return await asyncio.wait_for(self.reader.read(1), 20) == b""
        except ConnectionResetError:
            return True


@pytest.fixture
async def connect(gateway: RunningGateway) -> AsyncIterator[Any]:
    """Opens raw connections to a worker."""
    key = await gateway.create_key(await gateway.open_account())
    opened: list[Connection] = []

    async def connect() -> Connection:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        opened.append(Connection(reader, writer, key))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.writer.close()


async def test_a_connection_carries_calls_and_other_requests_in_order(connect: Any) -> None:
    connection = await connect()
    get = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    await connection.send(
        connection.request() + get + connection.request(target="/v1/x/y") + get + connection.request()
    )
    assert [(await connection.reply())[0] for _ in range(5)] == [200, 200, 404, 200, 200]


async def test_the_way_a_body_arrives_does_not_matter(connect: Any) -> None:
    connection = await connect()
    chunks = (
        b"".join(b"%x;ext=1\r\n%s\r\n" % (1, bytes([byte])) for byte in BODY) + b"0\r\nX-Trailer: 1\r\n\r\n"
    )
    await connection.send(connection.request("Transfer-Encoding: chunked", body=chunks, length=False))
    assert (await connection.reply())[0] == 200
    whole = connection.request()
    for start in range(0, len(whole), 40):
        await connection.send(whole[start : start + 40])
        await asyncio.sleep(0.001)
    assert (await connection.reply())[0] == 200


def _cut(data: bytes, draw: random.Random) -> list[bytes]:
    """The bytes as a network may deliver them."""
    places = sorted(draw.sample(range(1, len(data)), draw.randint(0, 3)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


@pytest.mark.parametrize("seed", range(6))
async def test_a_head_that_repeats_itself_means_what_it_meant_the_first_time(connect: Any, seed: int) -> None:
    """However calls are cut, glued together and mixed with others: each gets the answer to its own head and body."""
    draw = random.Random(seed)
    connection = await connect()
    towns = [b"Berlin", b"Munich", b"Bremen", b"Dresde"]
    for _ in range(60):
        town = draw.choice(towns)
        body = BODY.replace(b"Berlin", town)
        requests = {
            "same": (connection.request(body=body), 200, town),
            "spaces before and after": (connection.request(body=b"\r\n" + body) + b"\r\n", 200, town),
            "line ends first": (b"\r\n\r\n" + connection.request(body=body), 200, town),
            "chunked": (connection.request("Transfer-Encoding: chunked", length=False,
                                           body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)), 200, town),
            "other head": (connection.request("X-Other: 1", body=body), 200, town),
            "wrong key": (connection.request(body=body).replace(b"Bearer og", b"Bearer xx"), 401, None),
            "no input": (connection.request(body=b"{" + b" " * (len(body) - 1)), 400, None),
            "other surface": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 200, None),
        }  # fmt: skip
        names = draw.choices(list(requests), weights=[12, 1, 1, 1, 1, 1, 1, 1], k=draw.choice([1, 1, 1, 2]))
        pieces = _cut(b"".join(requests[name][0] for name in names), draw)
        for piece in pieces if draw.random() < 0.3 else [b"".join(pieces)]:
            await connection.send(piece)
            await asyncio.sleep(0.001 if len(pieces) > 1 else 0)
        for _, status, named in map(requests.__getitem__, names):
            answered, _, answer = await connection.reply()
            assert answered == status, (names, answer)
            assert named is None or named in answer


async def test_a_key_that_is_revoked_opens_nothing_more_on_a_connection_that_used_it(
    connect: Any, gateway: RunningGateway
) -> None:
    connection = await connect()
    for _ in range(3):
        await connection.send(connection.request())
        assert (await connection.reply())[0] == 200
    await gateway.revoke_key(connection.key)
    await connection.send(connection.request())
    assert (await connection.reply())[0] == 401


async def test_expect_100_continue_is_answered_when_it_is_its_turn(connect: Any) -> None:
    connection = await connect()
    head = connection.request("Expect: 100-continue").removesuffix(BODY)
    await connection.send(connection.request() + head)
    assert (await connection.reply())[0] == 200
    assert await connection.reply() == (100, {}, b"")
    await connection.send(BODY)
    assert (await connection.reply())[0] == 200


async def test_http_1_0_is_answered_and_closed(connect: Any) -> None:
    connection = await connect()
    await connection.send(connection.request(version="HTTP/1.0"))
    status, headers, _ = await connection.reply()
    assert (status, headers["connection"]) == (200, "close")
    assert await connection.is_closed()


async def test_a_caller_that_asks_to_close_is_answered_and_closed(connect: Any) -> None:
    connection = await connect()
    await connection.send(connection.request("Connection: close"))
    assert (await connection.reply())[0] == 200
    assert await connection.is_closed()


async def test_what_could_smuggle_a_second_request_is_refused_and_the_connection_closed(connect: Any) -> None:
    connection = await connect()
    good = connection.request()
    bad = {
        "length and chunked": ("framing", connection.request("Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
        "two lengths": ("content-length", connection.request("Content-Length: 1")),
        "length list": ("content-length", connection.request("Content-Length: 3, 3", length=False)),
        "length beyond 64 bit": ("content-length", connection.request(f"Content-Length: {2**65}", length=False)),
        "signed length": ("content-length", connection.request("Content-Length: +5", length=False)),
        "negative length": ("content-length", connection.request("Content-Length: -5", length=False)),
        "identity, chunked": ("transfer-encoding", connection.request("Transfer-Encoding: identity, chunked", body=b"0\r\n\r\n", length=False)),
        "chunked twice": ("transfer-encoding", connection.request("Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n", length=False)),
        "chunked in 1.0": ("transfer-encoding", connection.request("Transfer-Encoding: chunked", body=b"0\r\n\r\n", length=False, version="HTTP/1.0")),
        "folded header": ("header-folded", connection.request("X-A: 1\r\n folded")),
        "bare line feeds": ("line-end", good.replace(b"\r\n", b"\n")),
        "space before colon": ("header-name", connection.request("X-A : 1")),
        "control character in a name": ("header-name", connection.request("X-\x01A: 1")),
        "control character in a value": ("header-value", connection.request("X-A: a\x01b")),
        "no name": ("header-name", connection.request(": 1")),
        "no host": ("host", good.replace(b"Host: localhost\r\n", b"")),
        "two hosts": ("host", connection.request("Host: other")),
        "version 2.0": ("version", connection.request(version="HTTP/2.0")),
        "version 0.9": ("version", b"GET /v1/address/validate\r\n\r\n"),
        "upgrade": ("upgrade", connection.request("Connection: Upgrade", "Upgrade: h2c")),
        "long target": ("target-size", connection.request(target="/v1/" + "a" * 5000)),
        "many headers": ("head-size", connection.request(*(f"X-{number}: 1" for number in range(80)))),
        "large header": ("head-size", connection.request("X-Large: " + "a" * 20_000)),
        "very large header": ("head-size", connection.request("X-Large: " + "a" * 100_000)),
        "broken chunk": ("chunk", connection.request("Transfer-Encoding: chunked", body=b"zz\r\n\r\n", length=False)),
        "no target": ("target", connection.request(target="v1")),
        "garbage": ("method", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    }  # fmt: skip
    statuses = {"target-size": 414, "head-size": 431}
    for name, (rule, data) in bad.items():
        for target in ("/v1/address/validate", "/api/account"):
            attempt = await connect()
            await attempt.send(data.replace(b"/v1/address/validate", target.encode()) + good)
            status, headers, body = await attempt.reply()
            if rule == "upgrade" and target == "/api/account":
                assert status == 405, "a page answers as if nobody had asked for another protocol"
                continue
            assert (status, headers["connection"]) == (statuses.get(rule, 400), "close"), name
            assert headers["content-type"] == "application/problem+json", name
            problem = msgspec.json.decode(body)
            assert [error["rule"] for error in problem["errors"]] == [rule], (name, problem)
            assert problem["detail"].lower().startswith(problem["errors"][0]["detail"].lower()), name
            assert await attempt.is_closed(), name


async def test_a_broken_request_takes_nothing_from_the_calls_before_it_and_nothing_after_it_is_done(
    connect: Any, gateway: RunningGateway
) -> None:
    before = gateway.gateway.journal.durable_seq
    connection = await connect()
    good, broken = connection.request(), connection.request("X-A : 1")
    await connection.send(good + good + broken + good)
    assert [(await connection.reply())[0] for _ in range(3)] == [200, 200, 400]
    assert await connection.is_closed()
    late = await connect()
    too_much = b"".join(b"10000\r\n" + b" " * 0x10000 + b"\r\n" for _ in range(17)) + b"0\r\n\r\n"
    await late.send(late.request("Transfer-Encoding: chunked", body=too_much, length=False) + good)
    assert (await late.reply())[0] == 413
    assert await late.is_closed()
    assert gateway.gateway.journal.durable_seq == before + 2


@pytest.mark.parametrize(
    ("path", "limit"), [("/v1/address/validate", BODY_MAX), ("/api/keys", BODY_BYTES_MAX)]
)
@pytest.mark.parametrize("declared", [True, False])
async def test_a_caller_that_sends_everything_before_it_reads_is_told_that_it_was_too_much(
    connect: Any, gateway: RunningGateway, path: str, limit: int, declared: bool
) -> None:
    connection = await connect()
    body = b" " * 3_000_000
    if not declared:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    lines = ["Connection: close"] if declared else ["Connection: close", "Transfer-Encoding: chunked"]
    request = connection.request(*lines, target=path, body=body, length=declared)

    def send_everything_then_read() -> bytes:
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as plain:
            plain.sendall(request)
            answer = b""
            while piece := plain.recv(65_536):
                answer += piece
            return answer

    for _ in range(5):
        answer = await asyncio.to_thread(send_everything_then_read)
        assert answer.startswith(b"HTTP/1.1 413 "), answer[:200]
        assert b"/problems/too-large" in answer
        assert b'"detail":"Bodies are at most %d bytes."' % limit in answer
        assert b'"detail":"bodies are at most %d bytes"' % limit in answer, "the error by rule"


async def test_what_is_thrown_away_after_the_answer_has_an_end(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lingering_close, "SECONDS_MAX", 0.3)
    silent = await connect()
    await silent.send(silent.request(f"Content-Length: {BODY_MAX + 1}", length=False, body=b""))
    assert (await silent.reply())[0] == 413
    assert await silent.is_closed()
    await asyncio.sleep(0.5)

    async def drip() -> None:
        for _ in range(100):
            await silent.send(b"a" * 1000)
            await asyncio.sleep(0.01)

    with pytest.raises(ConnectionError):
        await drip()


async def test_header_names_with_underscores_and_control_characters_are_refused(connect: Any) -> None:
    connection = await connect()
    await connection.send(connection.request("X_Account: acct_other"))
    status, _, body = await connection.reply()
    assert status == 400
    assert b"header-name" in body


async def test_paths_are_taken_as_they_are_written(connect: Any) -> None:
    for target in ("/v1//address/validate", "/v1/address/../stock/adjust", "/v1/address%2fvalidate", "/v1/ADDRESS/validate",
                   "/v1/address/validate/", "/v1/address/validate;x", "/v01/address/validate", "/v1/address/%76alidate"):  # fmt: skip
        connection = await connect()
        await connection.send(connection.request(target=target))
        assert (await connection.reply())[0] == 404, target
    connection = await connect()
    await connection.send(connection.request(target="/%761/address/validate"))
    assert (await connection.reply())[0] in (404, 405), "an encoded prefix is not the metered surface"


async def test_an_absolute_target_reaches_the_same_operation(connect: Any) -> None:
    connection = await connect()
    await connection.send(connection.request(target="http://localhost/v1/address/validate"))
    assert (await connection.reply())[0] == 200


async def test_bodies_up_to_the_limit_are_read_and_larger_ones_refused_early(connect: Any) -> None:
    connection = await connect()
    await connection.send(connection.request(body=b" " * BODY_MAX))
    status, _, body = await connection.reply()
    assert (status, b"16384" in body) == (413, True), "the operation's own limit"
    connection = await connect()
    await connection.send(connection.request(f"Content-Length: {BODY_MAX + 1}", length=False, body=b""))
    assert (await connection.reply())[0] == 413
    assert await connection.is_closed()
    connection = await connect()
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    await connection.send(connection.request("Transfer-Encoding: chunked", body=b"", length=False))
    for _ in range(17):
        await connection.send(chunk)
    assert (await connection.reply())[0] == 413


async def test_a_header_that_never_ends_is_cut_off_while_it_is_sent(connect: Any) -> None:
    connection = await connect()
    await connection.send(b"POST /v1/address/validate HTTP/1.1\r\nHost: localhost\r\nX-Large: ")

    async def send_without_end() -> None:
        while True:
            await connection.send(b"a" * 65_536)

    begun = time.monotonic()
    with pytest.raises(ConnectionError):
        await send_without_end()
    assert time.monotonic() - begun < http_protocol.REQUEST_TIMEOUT_S / 2


async def test_a_request_that_never_ends_is_cut_off(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "REQUEST_TIMEOUT_S", 0.3)
    silent, dripping, stalled = await connect(), await connect(), await connect()
    await dripping.send(b"POST /v1/address/validate HTTP/1.1\r\nHost: x\r\n")
    await stalled.send(stalled.request()[:-5])
    for connection in (silent, dripping, stalled):
        assert await connection.is_closed()


async def test_a_caller_that_leaves_in_the_middle_of_its_body_made_no_call(
    connect: Any, gateway: RunningGateway
) -> None:
    before = gateway.gateway.journal.durable_seq
    connection = await connect()
    await connection.send(connection.request()[:-5])
    connection.writer.close()
    await asyncio.sleep(0.2)
    assert gateway.gateway.journal.durable_seq == before


async def test_a_caller_that_leaves_after_its_request_made_one_call(
    connect: Any, gateway: RunningGateway
) -> None:
    before = gateway.gateway.journal.durable_seq
    connection = await connect()
    await connection.send(connection.request())
    connection.writer.close()
    for _ in range(100):
        if gateway.gateway.journal.durable_seq == before + 1:
            break
        await asyncio.sleep(0.02)
    assert gateway.gateway.journal.durable_seq == before + 1


async def test_a_head_request_gets_no_body(connect: Any) -> None:
    connection = await connect()
    await connection.send(connection.request(method="HEAD", body=b""))
    head = await asyncio.wait_for(connection.reader.readuntil(b"\r\n\r\n"), 20)
    assert head.startswith(b"HTTP/1.1 405 ")
    await connection.send(connection.request())
    assert (await connection.reply())[0] == 200


async def test_a_thousand_pipelined_requests_are_answered_in_order(connect: Any) -> None:
    connection = await connect()

    async def send_all() -> None:
        for number in range(1000):
            target = "/v1/address/validate" if number % 2 == 0 else "/v1/no/such"
            await connection.send(connection.request(target=target))

    sending = asyncio.create_task(send_all())
    statuses = [(await connection.reply())[0] for _ in range(1000)]
    await sending
    assert [status == 404 for status in statuses] == [number % 2 == 1 for number in range(1000)]
