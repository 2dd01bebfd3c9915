"""The gateway listens on addresses of this machine; what cannot be one is refused by name, with what to write."""

import errno
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from catalog.vocabulary.settings import InvalidSetting
from deploy.cli import main
from deploy.first_start import Welcome
from deploy.listening import is_exposed, listen, listening_address, reached_at
from deploy.settings import from_environment
from deploy.up import greet


@pytest.mark.parametrize(
    ("host", "reached", "exposed"),
    [
        ("127.0.0.1", "127.0.0.1", False),
        ("127.8.0.1", "127.8.0.1", False),
        ("10.0.0.7", "10.0.0.7", True),
        ("0.0.0.0", "127.0.0.1", True),  # noqa: S104 - asked about, not listened on
    ],
)
def test_an_address_is_reached_there_and_all_of_them_at_loopback(
    host: str, reached: str, exposed: bool
) -> None:
    assert from_environment({"ORDERGATE_HOST": host}).host == host
    assert (reached_at(host), is_exposed(host)) == (reached, exposed)


def test_without_a_word_nobody_else_reaches_it() -> None:
    for environment in ({}, {"ORDERGATE_HOST": ""}):
        assert from_environment(environment).host == "127.0.0.1"


@pytest.mark.parametrize(
    "value",
    [
        "localhost",
        "::",
        "::1",
        "10.0.0",
        "010.0.0.1",
        "*",
        "10.0.0.7:8080",
        "10.0.0.0/8",
        "224.0.0.1",
        "255.255.255.255",
    ],
)
def test_what_no_machine_has_as_its_address_is_refused(value: str) -> None:
    with pytest.raises(InvalidSetting, match=r"^ORDERGATE_HOST='.*': give an IPv4 address of this machine"):
        from_environment({"ORDERGATE_HOST": value})
    with pytest.raises(InvalidSetting, match=r"^--host="):
        listening_address("--host", value)


def test_the_command_line_refuses_it_in_a_paragraph_before_anything_is_made(tmp_path: Path) -> None:
    environment = {"ORDERGATE_HOME": str(tmp_path / "home"), "ORDERGATE_HOST": "10.0.0.7"}
    refused = CliRunner().invoke(main, ["up", "--host", "localhost"], env=environment)
    assert refused.exit_code == 1
    assert refused.stderr.startswith("Error: --host='localhost': give an IPv4 address of this machine")
    assert not (tmp_path / "home").exists()


def test_all_addresses_are_one_socket_and_another_machines_is_none() -> None:
    with listen("0.0.0.0", 0) as listener:  # noqa: S104 - for as long as this test
        port = listener.getsockname()[1]
        for own in (reached_at("0.0.0.0"), "127.0.0.2"):  # noqa: S104
            socket.create_connection((own, port), timeout=5).close()
    with pytest.raises(OSError, match="assign requested address") as refused:
        listen("203.0.113.7", 0)
    assert refused.value.errno == errno.EADDRNOTAVAIL


def test_who_lets_other_machines_in_is_told_what_belongs_in_front(capsys: pytest.CaptureFixture[str]) -> None:
    welcome = Welcome(None, None, is_empty=False)
    greet("http://127.0.0.1:8080", welcome)
    assert "TLS" not in capsys.readouterr().out
    greet("http://127.0.0.1:8080", welcome, exposed=True)
    assert "a proxy that ends TLS" in capsys.readouterr().out
