"""The state directory: who serves it is known to other processes for exactly as long as that is true."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.home import AlreadyRunning, Home, Running
from deploy.settings import from_environment

FIELDS = {"pid": 4711, "port": 8080, "socket_dir": "/run/socket"}
SERVER = """
import sys
from pathlib import Path
from deploy.home import Home
home = Home(Path(sys.argv[1]))
home.make()
home.announce({"pid": 1, "port": 9, "socket_dir": ""})
print("announced", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.make()
    return home


def test_what_is_announced_is_seen_until_it_is_withdrawn(home: Home) -> None:
    other = Home(home.path)
    assert other.running() is None
    home.announce(FIELDS)
    assert other.running() == Running(4711, 8080, "/run/socket")
    with pytest.raises(AlreadyRunning, match="Stop it first, or set ORDERGATE_HOME"):
        other.announce(FIELDS)
    home.withdraw()
    assert other.running() is None
    home.withdraw()
    other.announce(FIELDS)
    assert home.running() == Running(4711, 8080, "/run/socket")
    other.withdraw()


def test_an_announcement_ends_with_its_process_however_it_ends(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(home.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "announced\n"
        assert home.running() == Running(1, 9)
    finally:
        server.kill()
        server.communicate()
    assert home.running() is None
    assert home.claim() == Running(1, 9), (
        "whoever is next learns that the last one was killed, and where it served"
    )
    home.withdraw()
    assert home.claim() is None
    home.withdraw()


def test_journals_and_secrets_are_closed_to_others(home: Home) -> None:
    home.make()
    assert {stat.S_IMODE(path.stat().st_mode) for path in (home.journals, home.secrets, home.run)} == {0o700}


def test_commands_find_the_installation_by_variables_and_ignore_empty_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    unset = from_environment({"ORDERGATE_HOME": "", "ORDERGATE_DATABASE_URL": "", "ORDERGATE_KEY": ""})
    assert (unset.home_path, unset.database_url, unset.key) == (tmp_path / ".ordergate", None, None)
    named = from_environment(
        {"ORDERGATE_HOME": "here", "ORDERGATE_DATABASE_URL": "postgresql://x", "ORDERGATE_KEY": "k"}
    )
    assert (named.home.path, named.database_url, named.key) == (tmp_path / "here", "postgresql://x", "k")
