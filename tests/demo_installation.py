"""A home and a database with the demo group, for tests: started, looked at, used beside it, cleared of it."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import asyncpg
from click.testing import CliRunner

from billing.audit.journals import journaled_events
from billing.rebuild import verify
from billing.reconcile import Report, reconcile
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from deploy.cli import main
from deploy.database import Database
from deploy.demo.erase import account_tables
from deploy.demo.remove import Removal, remove_demo
from deploy.home import Home
from deploy.served import served_by_journals
from tests.demo_groups import first_start
from tests.usage_books import add_account, add_price, call, store
from tests.usage_calls import write_journal

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
CLOSED = (Period(2026, 8), Period(2026, 9), Period(2026, 10))
NOVEMBER = Period(2026, 11)


class Installation:
    """A home and a database that is started, looked at and cleared of its demo."""

    def __init__(self, home: Path, database: Database, pool: asyncpg.Pool, admin: asyncpg.Connection) -> None:
        self.home = Home(home)
        self.database = database
        self.pool = pool
        self.admin = admin
        self.clock = ManualClock(NOW)

    async def start(self) -> str | None:
        """A start, as `make run` makes it; the key that it shows."""
        return await first_start(self.home.path, self.database, self.clock)

    async def remove(self) -> Removal:
        """Take the demo away."""
        return await remove_demo(self.home, self.database, "operator@test", self.clock)

    async def reports(self) -> tuple[Report, Report]:
        """What reconciliation says of the sandbox and of the live books."""
        test, live = await reconcile(
            self.pool,
            lambda until: served_by_journals(self.home.journals, until),
            self.home.journals,
            (),
            clock=self.clock,
            sleep=asyncio.sleep,
            patience_s=0,
        )
        return test, live

    async def differences(self) -> Sequence[str]:
        """What the books disagree about, to the last byte; nothing is what the product promises."""
        reports = await self.reports()
        found = [difference for report in reports for difference in report.differences]
        assert found or all(report.agrees for report in reports)
        return [*found, *await verify(self.pool, journaled_events(self.home.journals))]

    async def rows_of(self, accounts: Sequence[str]) -> dict[str, int]:
        """In which tables rows of these accounts stand."""
        counts = {
            table: await self.admin.fetchval(
                f"SELECT count(*) FROM {table} WHERE account_id = ANY($1)",  # noqa: S608
                accounts,
            )
            for table in await account_tables(self.admin)
        }
        return {table: count for table, count in counts.items() if count}

    async def command(self, *arguments: str, fails: int = 0) -> str:
        """What the `ordergate` command says here; the exit status is 0 unless `fails` says otherwise."""
        folder = quote(str(self.database.socket_dir), safe="/")
        environment = {
            "ORDERGATE_HOME": str(self.home.path),
            "ORDERGATE_DATABASE_URL": f"postgresql://postgres@/{self.database.name}?host={folder}&port=5432",
        }
        result = await asyncio.to_thread(CliRunner().invoke, main, arguments, env=environment)
        assert result.exit_code == fails, result.output
        return result.output


async def own_usage(installation: Installation) -> None:
    """What a real account did: one call with an effect and one without."""
    await add_account(installation.admin, "acct_own")
    await add_price(installation.admin, "price")
    await write_journal(installation.home.journals / "worker-000", [call("acct_own", NOW)])
    await store(installation.pool, [call("acct_own", NOW, operation="stock/reserve")])
