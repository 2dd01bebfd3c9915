"""The embedded database runs as root and as a normal user, and leaves the machine around it as it was."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from deploy.embedded_postgres import EmbeddedPostgres
from deploy.embedded_postgres.binaries import find_binaries
from deploy.embedded_postgres.run_as import can_enter, decide
from tests.faults.installation import (
    BUSY,
    PROJECT,
    SUPERVISOR,
    copy_of,
    installation_in,
    kept,
    mode_of,
    only_linux,
    only_root,
    postmaster_pid,
    query,
)

SITE_PACKAGES = Path(asyncpg.__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installation_in(tmp_path_factory.getbasetemp())


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder of ours that every user can enter; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="ordergate-test-")).resolve()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def ownership(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_mode, status.st_uid, status.st_gid


def recorded_mode(home: Path) -> str:
    return (home / "postgres" / "run_as").read_text().strip()


def test_nothing_that_was_there_before_changes_owner_or_mode(home: Path) -> None:
    binaries = find_binaries()
    watched = [*home.parents, home, *binaries.parents, binaries, *binaries.iterdir()]
    before = [(path, ownership(path)) for path in watched]
    with EmbeddedPostgres(home) as database:
        assert mode_of(home / "postgres") & 0o027 == 0
        assert mode_of(home / "postgres" / "data") == 0o700
        assert mode_of(database.socket_dir) == 0o700
        assert mode_of(home / "postgres" / "server.log") == 0o600
    assert [(path, ownership(path)) for path in watched] == before


@only_root
@only_linux
def test_under_a_closed_folder_root_uses_a_user_namespace(home: Path) -> None:
    (home / "postgres" / "run_as").unlink()
    assert mode_of(home) == 0o700
    with EmbeddedPostgres(home) as database:
        assert recorded_mode(home) == "user_namespace"
        assert "yesterday" in kept(database)
        assert (home / "postgres" / "data").stat().st_uid == 0
        identity = Path(f"/proc/{postmaster_pid(home)}/status").read_text()
        assert "CapEff:\t0000000000000000" in identity


@only_root
@only_linux
def test_where_user_namespaces_do_not_work_root_keeps_one_capability(home: Path) -> None:
    (home / "postgres" / "run_as").write_text("dac_override\n")
    with EmbeddedPostgres(home) as database:
        assert recorded_mode(home) == "dac_override"
        assert "yesterday" in kept(database)
        identity = Path(f"/proc/{postmaster_pid(home)}/status").read_text()
        assert f"Uid:\t{pwd.getpwnam('nobody').pw_uid}\t" in identity
        assert "CapEff:\t0000000000000002" in identity


@only_root
def test_in_an_open_folder_root_uses_nobody_and_keeps_doing_so(open_folder: Path) -> None:
    if not all(can_enter(folder, 65534, 65534) for folder in find_binaries().parents):
        pytest.skip("the programs are under a folder that is closed to other users")
    nobody = pwd.getpwnam("nobody")
    home = open_folder / "home"
    with EmbeddedPostgres(home) as database:
        assert recorded_mode(home) == "nobody"
        assert (home / "postgres" / "data").stat().st_uid == nobody.pw_uid
        assert mode_of(home) & 0o007 == 0
        assert query(database, "SELECT 1") == [(1,)]
    assert mode_of(open_folder) == 0o755
    with EmbeddedPostgres(home) as database:
        assert recorded_mode(home) == "nobody"
        assert query(database, "SELECT 1") == [(1,)]
    home.chmod(0o700)
    with EmbeddedPostgres(home) as database:
        assert recorded_mode(home) == "user_namespace", "the way was closed, so the files were handed over"
        assert (home / "postgres" / "data").stat().st_uid == 0
        assert query(database, "SELECT 1") == [(1,)]


@only_root
@only_linux
def test_in_a_container_without_ptrace_orphans_are_still_found(home: Path, open_folder: Path) -> None:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("needs setpriv (util-linux)")
    elsewhere = copy_of(home, open_folder / "home")
    elsewhere.chmod(0o755)
    script = """
import os, signal, subprocess, sys, time
from pathlib import Path
from deploy.embedded_postgres import EmbeddedPostgres
database = EmbeddedPostgres(Path(sys.argv[1]))
database.start()
client = subprocess.Popen([database.bin("psql"), "-Xqc", sys.argv[2]], env=database.client_environment())
time.sleep(0.3)
os.kill(int((Path(sys.argv[1]) / "postgres/data/postmaster.pid").read_text().split()[0]), signal.SIGKILL)
while database.poll() is None:
    time.sleep(0.01)
database.start()
client.wait()
database.stop()
print("restarted")
"""
    command = [setpriv, "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]
    done = subprocess.run(
        [*command, sys.executable, "-c", script, str(elsewhere), BUSY],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        check=False,
    )
    assert done.stdout == "restarted\n", done.stderr


@only_root
@only_linux
def test_when_no_user_can_run_the_server_the_closed_folder_and_the_remedy_are_named(tmp_path: Path) -> None:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("needs setpriv (util-linux)")
    lost = "-setuid,-setgid,-setfcap,-setpcap"
    done = subprocess.run(
        [
            setpriv,
            f"--bounding-set={lost}",
            f"--inh-caps={lost}",
            sys.executable,
            "-c",
            SUPERVISOR,
            tmp_path / "home",
        ],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        check=False,
    )
    assert done.returncode == 1
    closed = next(folder for folder in reversed(tmp_path.parents) if not can_enter(folder, 65534, 65534))
    assert f"nobody: {closed} is closed to it" in done.stderr
    assert "ORDERGATE_HOME" in done.stderr


@only_root
def test_a_normal_user_needs_no_rights(open_folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    interpreters = [Path(sys.executable), Path("/usr/bin") / version]
    reachable = [
        program
        for program in interpreters
        if program.exists()
        and all(can_enter(f, nobody.pw_uid, nobody.pw_gid) for f in program.resolve().parents)
    ]
    if not reachable or not all(can_enter(f, nobody.pw_uid, nobody.pw_gid) for f in SITE_PACKAGES.parents):
        pytest.skip("no interpreter of this version, or not its packages, can be reached by another user")
    os.chown(open_folder, nobody.pw_uid, nobody.pw_gid)
    script = """
import sys
from pathlib import Path
from deploy.embedded_postgres import EmbeddedPostgres
for _ in range(2):
    with EmbeddedPostgres(Path(sys.argv[1])) as database:
        print(database.is_running(), (Path(sys.argv[1]) / "postgres/run_as").read_text().strip())
"""
    done = subprocess.run(
        [reachable[0], "-B", "-c", script, open_folder / "home"],
        env={"PYTHONPATH": f"{PROJECT}{os.pathsep}{SITE_PACKAGES}"},
        cwd="/",
        user=nobody.pw_uid,
        group=nobody.pw_gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "True same_user\nTrue same_user\n", done.stderr
    assert mode_of(open_folder / "home") == 0o700


@pytest.mark.parametrize(
    ("mode", "uid_offset", "gid_offset", "expected"),
    [
        (0o100, 0, 0, True),
        (0o011, 0, 0, False),
        (0o010, 1, 0, True),
        (0o101, 1, 0, False),
        (0o001, 1, 1, True),
        (0o110, 1, 1, False),
    ],
)
def test_only_the_most_specific_mode_bit_opens_a_folder(
    tmp_path: Path, mode: int, uid_offset: int, gid_offset: int, expected: bool
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(mode)
    status = folder.stat()
    assert can_enter(folder, status.st_uid + uid_offset, status.st_gid + gid_offset) is expected


def test_the_recorded_mode_is_kept_only_while_it_works(tmp_path: Path) -> None:
    chosen = decide(find_binaries(), tmp_path, "")
    assert decide(find_binaries(), tmp_path, chosen.mode) == chosen
    assert decide(find_binaries(), tmp_path, "a mode of another version") == chosen
