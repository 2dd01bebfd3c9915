"""Backup and restore: what stands up again knows every account, every key and every call, shipped or not."""

import asyncio
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest
from click.testing import CliRunner, Result
from rich.filesize import decimal

from billing.lease.settle import settle_leases
from billing.store.connection import billing_pool
from catalog.vocabulary.clock import SystemClock, from_ns
from deploy.cli import main
from deploy.database import Database
from deploy.embedded_postgres import EmbeddedPostgres
from deploy.home import FREE_BYTES_MIN, Home
from deploy.migrate import migrate
from deploy.roles import BILLING
from tests.usage_calls import usage_event, write_journal

SERVICES = Path(__file__).parents[2] / "atomic_services"
CALLS = 25
# Every transaction id that a table of ours keeps.
_TRANSACTION_IDS = """
    SELECT attrelid::regclass::text AS table, attname AS column FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE atttypid = 'xid8'::regtype AND relkind IN ('r', 'p') AND NOT relispartition
      AND relnamespace IN ('catalog'::regnamespace, 'gateway'::regnamespace, 'billing'::regnamespace)
"""
# Those of usage and of its watermark are compared with each other, and are held by what is added up after a restore.
_OF_USAGE = ("billing.usage_event", "billing.watermark")


class Usage(NamedTuple):
    """What a disk says of itself, in bytes."""

    total: int
    used: int
    free: int


@pytest.fixture
def folder() -> Iterator[Path]:
    """Two installations and a backup; open to the database's user, which a test's own folder is not."""
    with tempfile.TemporaryDirectory(prefix="ordergate-backup-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


def run(home: Path, *arguments: str, fails: int = 0) -> Result:
    environment = {"ORDERGATE_HOME": str(home), "ORDERGATE_DATABASE_URL": None, "ORDERGATE_KEY": None}
    result = CliRunner().invoke(main, arguments, env=environment)
    assert result.exit_code == fails, result.output
    return result


def last_line(result: Result) -> str:
    return result.stdout.splitlines()[-1]


def use(home: Path) -> None:
    """An account with a key and calls of which some were shipped before the backup and some were not."""
    run(home, "publish", str(SERVICES))
    run(home, "account", "create", "bu-01", "--subscribe", "bench=bench")
    run(home, "key", "create", "bu-01")
    run(home, "grant", "bu-01", "10.00", "--pay-in-advance")
    run(home, "budget", "set", "bu-01", "500", "--hard")
    shown = json.loads(run(home, "account", "show", "bu-01", "--json").output)
    subscription, application = shown["subscriptions"][0], shown["applications"][0]
    clock = SystemClock()
    for worker in ("worker-000", "worker-001"):
        events = [
            usage_event(
                from_ns(clock.now_ns()),
                account_id=shown["account"]["id"],
                application_id=application["id"],
                cost_centre_id="",
                subscription_id=subscription["id"],
                operation="bench/echo",
                price_version="bench/bench/echo/CNY@1",
            )
            for _ in range(CALLS)
        ]
        asyncio.run(write_journal(home / "journals" / worker, events))
        if worker == "worker-000":
            run(home, "reconcile")


async def count_further(home: Path) -> None:
    """Make every kept transaction id, and one of a lease whose worker died, those of a server that has done far more."""
    with EmbeddedPostgres(home) as server:
        admin = await asyncpg.connect(server.url())
        try:
            await admin.execute("SET session_replication_role = replica")
            await admin.execute(
                "WITH taken AS (INSERT INTO billing.allowance (account_id, environment, kind, subject, starts_on, used, leased) "
                "SELECT id, 'live', 'quota', 'bench/echo month', current_date, 0, 1 FROM catalog.account RETURNING id, account_id) "
                "INSERT INTO billing.lease (allowance_id, account_id, worker_id, journal_id, period, granted, granted_at, "
                "expires_at, state, bound_seq, bound_xid) SELECT id, account_id, gen_random_uuid(), gen_random_uuid(), "
                "current_date, 1, now(), now(), 'orphaned', 0, '1' FROM taken"
            )
            for row in await admin.fetch(_TRANSACTION_IDS):
                if row["table"] not in _OF_USAGE:
                    await admin.execute(f"UPDATE {row['table']} SET {row['column']} = '9000000000'")  # noqa: S608
        finally:
            await admin.close()


async def ids_from_elsewhere(home: Path) -> list[str]:
    """The columns with a transaction id that this server has not come to, and whether leases wait for one."""
    with EmbeddedPostgres(home) as server:
        admin = await asyncpg.connect(server.url())
        pool = await billing_pool(Database(socket_dir=server.socket_dir).as_role(BILLING))
        try:
            await settle_leases(pool, home / "journals", None, SystemClock())
            found = [
                f"{row['table']}.{row['column']}"
                for row in await admin.fetch(_TRANSACTION_IDS)
                if await admin.fetchval(
                    f"SELECT EXISTS (SELECT FROM {row['table']} WHERE {row['column']} > pg_current_xact_id())"  # noqa: S608
                )
            ]
            waiting = await admin.fetchval("SELECT count(*) FROM billing.lease WHERE state <> 'closed'")
            return [*found, f"{waiting} leases"] if waiting else found
        finally:
            await pool.close()
            await admin.close()


def refuses_without_room_and_leaves_nothing_half_done(home: Path, backup: Path) -> None:
    with pytest.MonkeyPatch.context() as machine:
        machine.setattr(shutil, "disk_usage", lambda _: Usage(total=1, used=0, free=FREE_BYTES_MIN + 1_000))
        refused = run(home, "backup", str(backup), fails=1).stderr
        assert re.search(r"takes up to [0-9.]+ kB, and .* has room for 1\.0 kB beside what", refused)
        assert not backup.exists(), "refused before anything is written"
    # What cannot be read is found out when the dump is written already.
    (gone := home / "journals" / "worker-000" / "gone").symlink_to("nowhere")
    refused = run(home, "backup", str(backup), fails=1).stderr
    assert f"{gone} could not be copied" in refused
    assert list(backup.iterdir()) == [], "half a backup is none"
    gone.unlink()


def test_a_backup_stands_up_again_with_every_key_and_every_call(folder: Path) -> None:
    first, second, backup = folder / "first", folder / "second", folder / "backup"
    Home(first).make()
    with EmbeddedPostgres(first) as server:
        asyncio.run(migrate(Database(socket_dir=server.socket_dir)))
    use(first)
    asyncio.run(count_further(first))
    keys = json.loads(run(first, "key", "list", "bu-01", "--json").output)
    refuses_without_room_and_leaves_nothing_half_done(first, backup)
    told = run(first, "backup", str(backup)).stdout
    written = sum(path.stat().st_size for path in backup.rglob("*") if path.is_file())
    assert f": {decimal(written)}, written in " in told
    assert "is not empty" in run(first, "backup", str(backup), fails=1).stderr
    assert "holds an installation" in run(first, "restore", str(backup), fails=1).stderr

    run(second, "restore", str(backup))
    total = 2 * CALLS
    assert last_line(run(second, "reconcile")) == (
        f"served={total} metered={total} stored={total} rated={total} posted={total} invoiced={total} "
        "diff=0 money_diff=0"
    )
    assert last_line(run(second, "rebuild", "--verify")) == "equal"
    assert json.loads(run(second, "key", "list", "bu-01", "--json").output) == keys
    assert (second / "secrets" / "pepper.json").read_bytes() == (
        first / "secrets" / "pepper.json"
    ).read_bytes()
    ended = json.loads((backup / "backup.json").read_text())["audit"]
    assert json.loads((second / "audit" / "head.json").read_text()) == ended
    assert ended["entries"] > 0
    run(second, "doctor")
    assert asyncio.run(ids_from_elsewhere(second)) == []

    secret = backup / "secrets" / "pepper.json"
    secret.write_bytes(secret.read_bytes() + b" ")
    assert (
        "pepper.json is missing or was changed"
        in run(folder / "third", "restore", str(backup), fails=1).stderr
    )
    third = folder / "third"
    nowhere, empty = folder / "nowhere", folder / "empty"
    empty.mkdir()
    assert (
        f"{nowhere} is not a whole backup: there is no such directory."
        in run(third, "restore", str(nowhere), fails=1).stderr
    )
    assert "it has no backup.json." in run(third, "restore", str(empty), fails=1).stderr
    assert not third.exists()
