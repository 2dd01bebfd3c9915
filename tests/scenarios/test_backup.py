"""Backup and restore: what stands up again knows every account, every key and every call, shipped or not."""

import asyncio
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from catalog.vocabulary.clock import SystemClock, from_ns
from deploy.cli import main
from deploy.database import Database
from deploy.embedded_postgres import EmbeddedPostgres
from deploy.home import Home
from deploy.migrate import migrate
from tests.usage_calls import usage_event, write_journal

SERVICES = Path(__file__).parents[2] / "atomic_services"
CALLS = 25


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


def test_a_backup_stands_up_again_with_every_key_and_every_call(folder: Path) -> None:
    first, second, backup = folder / "first", folder / "second", folder / "backup"
    Home(first).make()
    with EmbeddedPostgres(first) as server:
        asyncio.run(migrate(Database(socket_dir=server.socket_dir)))
    use(first)
    keys = json.loads(run(first, "key", "list", "bu-01", "--json").output)
    run(first, "backup", str(backup))
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
    run(second, "doctor")

    secret = backup / "secrets" / "pepper.json"
    secret.write_bytes(secret.read_bytes() + b" ")
    assert (
        "pepper.json is missing or was changed"
        in run(folder / "third", "restore", str(backup), fails=1).stderr
    )
    assert not (folder / "third").exists()
