"""`ordergate call` against a server: what it sends, and what a person can do with what it prints."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from click.testing import CliRunner, Result

from deploy.cli import main

_REPLY = {"state": "reserved"}
_PROBLEM = {
    "type": "/problems/invalid-input",
    "title": "The input does not match the operation's schema",
    "status": 400,
    "detail": "/a: one; /b: two.",
    "remedy": "Correct the fields.",
    "errors": [
        {"pointer": "/a", "rule": "type", "detail": "one"},
        {"pointer": "", "rule": "type", "detail": "two"},
    ],
    "errors_omitted": 3,
}


class _Server(HTTPServer):
    """Answers like a gateway; remembers the Idempotency-Keys that it got."""

    keys: list[str | None]


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        key = self.headers["idempotency-key"]
        refused = b"bad" in body
        self.send_response(400 if refused else 200)
        self.send_header("Ordergate-Call-Id", "call_1")
        if not refused:
            self.send_header("Ordergate-Charge", "0.09 CNY")
            self.send_header("Ordergate-Units", "1")
        if key is not None and key in self.server.keys:
            self.send_header("Idempotent-Replayed", "true")
        self.end_headers()
        self.server.keys.append(key)
        self.wfile.write(json.dumps(_PROBLEM if refused else _REPLY).encode())

    def log_message(self, *_: Any) -> None:
        """Tests are quiet."""


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server(("127.0.0.1", 0), _Handler) as found:
        found.keys = []
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def call(server: _Server, *arguments: str) -> Result:
    address = f"http://127.0.0.1:{server.server_port}"
    return CliRunner().invoke(main, ["call", *arguments, "--key", "k", "--address", address])


def test_the_idempotency_key_that_was_made_up_is_told_and_repeats_the_call(server: _Server) -> None:
    first = call(server, "stock/reserve", "{}")
    (sent,) = server.keys
    assert sent is not None
    assert first.exit_code == 0
    assert f"Idempotency-Key {sent}\n" in first.stderr
    assert "Idempotency-Key" not in first.stdout
    again = call(server, "stock/reserve", "{}", "--idempotency-key", sent)
    assert f"Idempotency-Key {sent}; this is the reply that was kept under it" in again.stderr
    told = json.loads(call(server, "stock/reserve", "{}", "--idempotency-key", sent, "--json").stdout)
    assert (told["idempotency_key"], told["replayed"]) == (sent, True)


def test_an_operation_that_changes_nothing_gets_no_key(server: _Server) -> None:
    result = call(server, "address/validate", "{}")
    assert server.keys == [None]
    assert "Idempotency-Key" not in result.stderr
    told = json.loads(call(server, "address/validate", "{}", "--json").stdout)
    assert told["idempotency_key"] is None


def test_every_wrong_field_is_a_line_of_its_own(server: _Server) -> None:
    result = call(server, "stock/reserve", '{"bad": 1}')
    assert result.exit_code == 1
    assert result.stderr.splitlines()[:4] == [
        "Error: 400 The input does not match the operation's schema:",
        "  /a: one",
        "  the body: two",
        "  and 3 more",
    ]
