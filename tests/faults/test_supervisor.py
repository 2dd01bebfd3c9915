"""`ordergate up` keeps the product alive, ends it whole, and says at once when it cannot start."""

import json
import os
import pty
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.journal_disk import memory_directory
from tests.faults.installation import is_alive, only_linux
from tests.faults.product import Part, Product, until
from tests.gateways import BERLIN
from tests.load.plan import Credential

pytestmark = only_linux

# What is due within a second when the machine has nothing else to do.
_SOON_S = 10.0


class _Running:
    """A product that was started, and a key for it."""

    def __init__(self, product: Product, credential: Credential) -> None:
        self.product = product
        self.key = credential.key
        self.calls = 0

    def call(self) -> None:
        """A call without effect, which must succeed."""
        status, body = self.product.call(self.key, "address/validate", BERLIN)
        assert status == 200, body
        self.calls += 1

    def receive(self, name: str) -> int:
        """One unit more in stock, repeated under one key until it is known how it ended; how many there are then."""
        body = {"sku": "A", "warehouse": "W1", "quantity": 1, "reason": "count"}
        replies = []

        def is_done() -> bool:
            status, reply = self.product.call(self.key, "stock/adjust", body, name)
            assert status in (200, 503), reply
            replies.append(reply)
            return status == 200

        until(is_done, 30, "the stock can be changed")
        return int(replies[-1]["on_hand"])

    def journals(self) -> list[str]:
        """The journals there are: one for each worker that ran at the same time as others."""
        return sorted(path.name for path in self.product.home.journals.iterdir())

    def replaced(self, part: Part, old: int) -> None:
        """Wait until another process does this part's work."""
        expected = 2 if part == "gateway" else 1

        def done() -> bool:
            pids = self.product.pids(part)
            return len(pids) == expected and old not in pids

        until(done, _SOON_S, f"{part} is replaced")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with memory_directory() as folder:
        folder.chmod(0o711)
        yield folder


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[_Running]:
    product = Product(folder)
    (credential, *_) = product.prepare("brand")
    try:
        product.start()
        yield _Running(product, credential)
    finally:
        product.end()


def test_a_killed_worker_is_replaced_and_its_journal_goes_on(running: _Running) -> None:
    product = running.product
    running.call()
    until(lambda: len(running.journals()) == 2, 30, "both workers have a journal")
    for index in (0, 1):
        running.replaced("gateway", product.kill("gateway", index))
    until(product.is_ready, 30, "a worker serves again")
    running.call()
    assert running.journals() == ["worker-000", "worker-001"], "the dead workers' journals were adopted"


def test_killed_billing_is_replaced(running: _Running) -> None:
    running.replaced("billing", running.product.kill("billing"))


def test_what_the_supervisor_does_is_a_json_line_on_stderr_and_what_it_says_is_on_stdout(
    running: _Running,
) -> None:
    product = running.product
    running.replaced("billing", product.kill("billing"))
    logged = [json.loads(line) for line in product.errors.read_text("utf-8").splitlines()]
    ended = [line for line in logged if line["process"] == "supervisor" and line.get("child") == "billing"]
    assert ended[-1]["status"] == -signal.SIGKILL
    assert ended[-1]["level"] == "ERROR"
    assert "Ordergate is ready: " in product.log.read_text("utf-8")


def test_a_killed_database_comes_back_even_if_it_is_killed_again_on_its_way(running: _Running) -> None:
    product = running.product
    before = running.receive("before-the-kill")
    for _ in range(3):
        running.replaced("postgres", product.kill("postgres"))
    assert product.supervisor.poll() is None
    assert running.receive("after-the-kills") == before + 1


def test_calls_without_effect_are_answered_while_the_database_is_killed(running: _Running) -> None:
    running.product.kill("postgres")
    running.call()
    running.receive("the-database-is-back")


def test_a_second_start_on_the_same_home_is_refused_and_disturbs_nothing(
    running: _Running, folder: Path
) -> None:
    product = running.product
    metrics = set((product.home.run / "metrics").iterdir())
    second = Product(folder)
    second.log = folder / "second.log"
    assert second.spawn_and_wait() == 1
    said = second.said()
    assert "Another process serves" in said
    assert "ORDERGATE_HOME" in said
    assert "Traceback" not in said
    # Processes that were replaced a moment ago add theirs whenever they first have a figure.
    assert metrics <= set((product.home.run / "metrics").iterdir()), "the figures of those that run are kept"
    running.call()


def test_a_port_in_use_is_refused_at_once(running: _Running, tmp_path: Path) -> None:
    other = Product(tmp_path)
    other.port = running.product.port
    begin = time.monotonic()
    assert other.spawn_and_wait() == 1
    assert time.monotonic() - begin < _SOON_S
    assert f"Port {other.port} on 127.0.0.1 cannot be used" in other.said()
    assert not other.home.postgres.exists(), "nothing was begun that cannot be finished"
    running.call()


def test_an_address_of_another_machine_is_refused_at_once(running: _Running, tmp_path: Path) -> None:
    # TEST-NET-3 (RFC 5737): nobody's.
    other = Product(tmp_path, variables={"ORDERGATE_HOST": "203.0.113.7"})
    begin = time.monotonic()
    assert other.spawn_and_wait() == 1
    assert time.monotonic() - begin < _SOON_S
    assert "203.0.113.7 is not an address of this machine" in other.said()
    assert "Traceback" not in other.said()
    assert not other.home.postgres.exists(), "nothing was begun that cannot be finished"
    running.call()


def test_a_killed_supervisor_leaves_nothing_running_and_the_next_start_has_all_data(
    running: _Running,
) -> None:
    product = running.product
    units = running.receive("before-the-supervisor-is-killed")
    parts: tuple[Part, ...] = ("gateway", "billing", "postgres")
    pids = [pid for part in parts for pid in product.pids(part)]
    assert len(pids) == 4
    product.kill_supervisor()
    # At once, as an operator or a service manager would: the old workers are still on their way out.
    product.start()
    until(lambda: not any(is_alive(pid) for pid in pids), 30, "the old processes have ended")
    assert running.receive("before-the-supervisor-is-killed") == units, "a repetition is answered as before"
    assert running.receive("after-the-start") == units + 1
    assert product.run("reconcile").splitlines()[-1].endswith("diff=0 money_diff=0")


def test_ctrl_c_ends_everything_with_status_0(running: _Running) -> None:
    product = running.product
    parts: tuple[Part, ...] = ("gateway", "billing", "postgres")
    pids = [pid for part in parts for pid in product.pids(part)]
    assert product.stop() == 0
    assert not any(is_alive(pid) for pid in pids)
    assert not product.is_listening()
    assert product.home.running() is None
    assert "Stopped." not in product.said(), "that is for a person at a terminal"


def test_ctrl_c_during_the_start_ends_it_too(running: _Running) -> None:
    product = running.product
    screen, terminal = pty.openpty()
    supervisor = product.spawn(terminal)
    until(lambda: bool(product.pids("postgres")), 20, "the database is started")
    os.kill(supervisor.pid, signal.SIGINT)
    assert supervisor.wait(30) == 0
    assert os.read(screen, 65_536).decode().rstrip().endswith("Stopped.")
    os.close(screen)
    os.close(terminal)
    assert not product.is_listening()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("ORDERGATE_AUTH_STALE_MAX_S", "soon", "ORDERGATE_AUTH_STALE_MAX_S='soon': give a whole number"),
        # A folder that cannot be made: only the worker itself can find out.
        ("ORDERGATE_JOURNAL_MIRROR", "/dev/null/mirror", "cannot start: it has ended 2 times"),
    ],
)
def test_a_worker_that_cannot_start_ends_the_start_with_a_reason(
    running: _Running, folder: Path, variable: str, value: str, message: str
) -> None:
    running.product.end()
    product = Product(folder, variables={variable: value})
    product.log = folder / f"{variable}.log"
    begin = time.monotonic()
    assert product.spawn_and_wait() == 1
    assert time.monotonic() - begin < 30
    assert message in product.said()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", product.port)) != 0


def test_what_serves_one_address_is_found_there_and_nowhere_else(running: _Running, folder: Path) -> None:
    running.product.end()
    product = Product(folder, variables={"ORDERGATE_HOST": "127.0.0.2"})
    product.log = folder / "one-address.log"
    try:
        product.start()
        ready = f"Ordergate is ready: http://127.0.0.2:{product.port}"
        until(lambda: ready in product.said(), 30, "a person is told where")
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", product.port)) != 0
        answer = product.run("call", "address/validate", json.dumps(BERLIN), "--key", running.key)
        assert '"verdict"' in answer
        assert product.run("user", "create", "a@b.example", "--role", "operator").startswith(
            f"http://127.0.0.2:{product.port}/sign-in/"
        )
    finally:
        product.end()
