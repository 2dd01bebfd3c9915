"""The embedded database comes back with its data, whoever was killed, and refuses what would endanger them."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from deploy.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError
from tests.faults.installation import (
    IS_ROOT,
    PROJECT,
    RESTART_SECONDS_MAX,
    SUPERVISOR,
    copy_of,
    data_folder,
    end,
    installation_in,
    is_alive,
    kept,
    mode_of,
    only_linux,
    postmaster_pid,
    query,
    start_endless_query,
    supervise,
    timed_start,
    wait_until,
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installation_in(tmp_path_factory.getbasetemp())


@pytest.fixture
def database(home: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(home) as database:
        yield database


# --- ordinary days


@pytest.mark.timed
def test_a_second_start_finds_yesterdays_data_in_under_two_seconds(home: Path) -> None:
    database = EmbeddedPostgres(home)
    assert timed_start(database) < RESTART_SECONDS_MAX
    assert "yesterday" in kept(database)
    assert database.is_running()
    assert database.poll() is None
    database.stop()
    assert not database.is_running()
    assert database.poll() is None
    assert not (home / "postgres" / "data" / "postmaster.pid").exists()


def test_starting_a_running_database_and_stopping_a_stopped_one_change_nothing(
    database: EmbeddedPostgres,
) -> None:
    before = query(database, "SELECT pg_postmaster_start_time()")
    database.start()
    assert query(database, "SELECT pg_postmaster_start_time()") == before
    database.stop()
    database.stop()
    database.start()
    assert "yesterday" in kept(database)


def test_commits_are_durable_and_the_cluster_is_the_same_on_every_host(database: EmbeddedPostgres) -> None:
    settings = dict(query(database, "SELECT name, setting FROM pg_settings"))
    expected = {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "data_checksums": "on",
        "TimeZone": "UTC",
        "server_encoding": "UTF8",
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "log_statement": "none",
    }
    assert {name: settings[name] for name in expected} == expected
    locale = query(
        database, "SELECT datlocprovider::text, datlocale FROM pg_database WHERE datname = 'ordergate'"
    )
    assert locale == [("b", "C.UTF-8")]


@only_linux
def test_the_server_cannot_be_reached_over_the_network(database: EmbeddedPostgres) -> None:
    server = postmaster_pid(data_folder(database).parents[1])
    links = [str(link.readlink()) for link in Path(f"/proc/{server}/fd").iterdir()]
    sockets = [
        link.removeprefix("socket:[").removesuffix("]") for link in links if link.startswith("socket:")
    ]
    network = "".join(Path(f"/proc/net/{table}").read_text() for table in ("tcp", "tcp6", "udp", "udp6"))
    assert sockets
    assert not [inode for inode in sockets if f" {inode} " in network]


def test_values_of_failed_statements_do_not_reach_the_log(database: EmbeddedPostgres) -> None:
    for statement in (
        "INSERT INTO kept VALUES ('yesterday')",
        "SELECT 'secret-of-a-customer'::integer",
        "SELECT 1 / 0 AS secret_of_a_customer",
    ):
        with pytest.raises(asyncpg.PostgresError):
            query(database, statement)
    log = data_folder(database).with_name("server.log").read_text()
    assert "ready to accept connections" in log
    assert "customer" not in log
    assert "yesterday" not in log


def test_the_client_programs_find_the_server(database: EmbeddedPostgres) -> None:
    dump = subprocess.run(
        [database.bin("pg_dump"), "--data-only"],
        env=database.client_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "yesterday" in dump.stdout
    with pytest.raises(EmbeddedPostgresError, match="no program 'pg_dumb'"):
        database.bin("pg_dumb")


def test_a_long_path_moves_the_socket_to_a_private_folder(home: Path, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 70) / ("e" * 70)
    deep.mkdir(parents=True)
    elsewhere = copy_of(home, deep / "home")
    with EmbeddedPostgres(elsewhere) as database:
        assert "yesterday" in kept(database)
        folder = database.socket_dir
        assert len(os.fsencode(folder)) < 80
        assert mode_of(folder) == 0o700
        assert EmbeddedPostgres(elsewhere).url() == database.url(), (
            "a process that did not start it must find it too"
        )
    if IS_ROOT:
        os.chown(folder, 12345, 12345)
        with pytest.raises(EmbeddedPostgresError, match="belongs to user 12345"):
            EmbeddedPostgres(elsewhere).start()
    shutil.rmtree(folder)


def test_odd_characters_in_the_path_are_harmless(home: Path, tmp_path: Path) -> None:
    elsewhere = copy_of(home, tmp_path / "订单, %41 & 'x'")
    with EmbeddedPostgres(elsewhere) as database:
        assert "yesterday" in kept(database)
        folder = database.socket_dir
    if not folder.is_relative_to(elsewhere):
        shutil.rmtree(folder)


# --- one supervisor


def test_a_second_supervisor_is_refused_and_told_who_holds_the_database(home: Path) -> None:
    first = supervise(home)
    try:
        with pytest.raises(EmbeddedPostgresError, match=f"supervised by process {first.pid}") as refusal:
            EmbeddedPostgres(home).start()
        assert "ORDERGATE_HOME" in refusal.value.remedy
        assert is_alive(postmaster_pid(home))
    finally:
        end(first)


def test_a_start_from_another_thread_is_refused(home: Path) -> None:
    raised: list[EmbeddedPostgresError] = []

    def start() -> None:
        try:
            EmbeddedPostgres(home).start()
        except EmbeddedPostgresError as error:
            raised.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert [error.remedy[:30] for error in raised] == ["Call start() from the main thr"]


def test_a_server_that_cannot_start_says_why_and_lets_go_of_the_folder(home: Path) -> None:
    configuration = home / "postgres" / "data" / "postgresql.conf"
    good = configuration.read_text()
    configuration.write_text("no_such_setting = 1\n")
    try:
        with pytest.raises(EmbeddedPostgresError, match="no_such_setting") as refusal:
            EmbeddedPostgres(home).start()
    finally:
        configuration.write_text(good)
    assert "server.log" in refusal.value.remedy
    with EmbeddedPostgres(home) as repaired:
        assert "yesterday" in kept(repaired)


def test_a_home_that_is_a_file_is_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(EmbeddedPostgresError, match="could not be started") as refusal:
        EmbeddedPostgres(tmp_path / "home").start()
    assert "ORDERGATE_HOME" in refusal.value.remedy


# --- kill -9


@pytest.mark.timed
@only_linux
def test_a_killed_server_with_a_busy_backend_restarts_in_two_seconds_with_every_commit(
    database: EmbeddedPostgres, home: Path
) -> None:
    client, backend = start_endless_query(database)
    query(database, "INSERT INTO kept VALUES ('before the server was killed')")
    os.kill(postmaster_pid(home), signal.SIGKILL)
    wait_until(lambda: database.poll() is not None)
    assert database.poll() == -signal.SIGKILL
    assert is_alive(backend), "the case this test is about: an orphan that holds the shared memory"
    assert timed_start(database) < RESTART_SECONDS_MAX
    assert {"before the server was killed", "yesterday"} <= set(kept(database))
    assert not is_alive(backend)
    client.wait()


@only_linux
def test_a_killed_supervisor_takes_its_server_down_cleanly(home: Path) -> None:
    supervisor = supervise(home)
    database = EmbeddedPostgres(home)
    query(database, "INSERT INTO kept VALUES ('before the supervisor was killed')")
    server = postmaster_pid(home)
    end(supervisor)
    wait_until(lambda: not is_alive(server))
    assert "database system is shut down" in (home / "postgres" / "server.log").read_text().splitlines()[-1]
    with database:
        assert {"before the supervisor was killed", "yesterday"} <= set(kept(database))


@pytest.mark.timed
@only_linux
def test_a_new_supervisor_may_start_at_the_instant_the_old_one_was_killed(home: Path) -> None:
    end(supervise(home))
    database = EmbeddedPostgres(home)
    assert timed_start(database) < RESTART_SECONDS_MAX
    assert "yesterday" in kept(database)
    database.stop()


@only_linux
def test_a_server_without_supervisor_is_stopped_before_the_next_start(home: Path) -> None:
    supervisor = supervise(home)
    server = postmaster_pid(home)
    os.kill(server, signal.SIGSTOP)
    end(supervisor)
    assert is_alive(server)
    threading.Timer(0.3, os.kill, (server, signal.SIGCONT)).start()
    with EmbeddedPostgres(home) as database:
        assert not is_alive(server)
        assert "yesterday" in kept(database)


@only_linux
def test_stale_lock_files_that_name_a_living_stranger_do_not_matter(home: Path) -> None:
    supervisor = supervise(home)
    server = postmaster_pid(home)
    lock_files = [
        home / "postgres" / "data" / "postmaster.pid",
        EmbeddedPostgres(home).socket_dir / ".s.PGSQL.5432.lock",
    ]
    os.kill(server, signal.SIGKILL)
    end(supervisor)
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        for lock_file in lock_files:
            lock_file.write_text(lock_file.read_text().replace(str(server), str(stranger.pid), 1))
        with EmbeddedPostgres(home) as database:
            assert "yesterday" in kept(database)
        assert stranger.poll() is None, "only our own leftovers may be ended"
    finally:
        stranger.kill()
        stranger.wait()


@only_linux
def test_a_first_start_that_was_killed_halfway_is_done_again(tmp_path: Path) -> None:
    home = tmp_path / "home"
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(home)], stderr=subprocess.PIPE, text=True, cwd=PROJECT
    )

    def unfinished() -> list[Path]:
        return list((home / "postgres").glob("data.new.*/base/1"))

    def initdb() -> list[int]:
        children = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children").read_text().split()
        return [
            int(child) for child in children if (Path("/proc") / child / "exe").readlink().name == "initdb"
        ]

    wait_until(lambda: bool(unfinished()))
    (interrupted,) = initdb()
    os.kill(interrupted, signal.SIGKILL)
    _, complaint = supervisor.communicate()
    assert "could not be created" in complaint
    assert unfinished()
    assert not (home / "postgres" / "data").exists()
    with EmbeddedPostgres(home) as database:
        assert query(database, "SELECT current_database()") == [("ordergate",)]
    assert not unfinished()
