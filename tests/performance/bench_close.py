"""How many documents an hour a month close issues; exit status 1 below 100,000 an hour.

Every account used one operation of each of twenty services in three hours of the month, on graduated, package, per-unit
and volume prices, hardly two the same quantity; a third of the accounts have contract terms. Each document is rated,
posted, numbered and stored with the arithmetic of its lines. The rate is what was measured; the time for 10,000 accounts
is that rate carried on.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import asyncpg
import msgspec

from billing.desk import CloseReport, close
from billing.store.connection import billing_pool
from catalog.vocabulary.clock import SystemClock
from catalog.vocabulary.period import Period
from deploy.database import Database
from deploy.embedded_postgres import EmbeddedPostgres
from deploy.migrate import migrate
from deploy.roles import BILLING
from tests.performance.provenance import provenance

_BAR_PER_HOUR = 100_000
_SERVICES = 20
_HOURS = 3
_FULL = 10_000
_OCTOBER = Period(2026, 10)
_TIERS = {
    "tiers": [
        {"up_to": "100", "unit_price": "0.05", "flat_fee": "0"},
        {"up_to": "1000", "unit_price": "0.04", "flat_fee": "1"},
        {"up_to": None, "unit_price": "0.03", "flat_fee": "0"},
    ]
}
_PACKAGE = {"package_size": "100", "package_price": "0.90", "free_units": "0", "round": "up"}
_MODELS = (
    ("graduated", _TIERS),
    ("package", _PACKAGE),
    ("per_unit", {"unit_price": "0.06"}),
    ("volume", _TIERS),
)
_ACCOUNTS = (
    "INSERT INTO catalog.account (id, name, title, kind, currency, timezone, created_at) "
    "SELECT 'acct_' || n, 'account ' || n, '{\"en\": \"account\"}', 'internal', 'CNY', 'Asia/Shanghai', now() "
    "FROM generate_series(1, $1) AS n"
)
_TERMS = """
    INSERT INTO catalog.account_terms (id, account_id, service, starts_on, revision, access_fee, discount_pct, minimum,
                                       committed_spend, committed_months, set_at, set_by)
    SELECT 'terms_' || n, 'acct_' || n, '', '2026-10-01', 1, 2, 5, 40, 0, 0, now(), 'bench'
    FROM generate_series(1, $1, 3) AS n
"""
_USAGE = """
    INSERT INTO billing.usage_hour (account_id, environment, period, hour, subscription_id, application_id, cost_centre_id,
        operation, price_version, class, outcome, fault, calls, billable_calls, units, latency_us_sum)
    SELECT 'acct_' || n, 'live', '2026-10-01', '2026-10-05'::timestamptz + hour * interval '1 hour', 'sub_' || n || service,
           'app_' || n, '', 'service' || service || '/run', 'price_' || service, 'ok', 'success', 'none', calls, calls, calls,
           calls * 900
    FROM generate_series(1, $1) AS n, generate_series(1, $2) AS service, generate_series(1, $3) AS hour,
         LATERAL (SELECT 1 + (hashtext(n || '/' || service || '/' || hour) & 2047) AS calls) AS used
"""
_MARKS = (
    "INSERT INTO billing.unrated SELECT 'acct_' || n, 'live', '2026-10-01' FROM generate_series(1, $1) AS n"
)


async def _fill(database: Database, accounts: int) -> None:
    connection = await asyncpg.connect(**database.admin())
    try:
        await connection.execute(_ACCOUNTS, accounts)
        await connection.execute(_TERMS, accounts)
        for service in range(1, _SERVICES + 1):
            model, price = _MODELS[service % len(_MODELS)]
            await connection.execute(
                "INSERT INTO catalog.price_version (id, service, plan_id, audience, operation, currency, version, "
                "effective_from, billable_on, model, price, published_at) VALUES ($1, $2, 'plan', 'internal', $3, 'CNY', 1, "
                "'2026-01-01', 'success', $4, $5, now())",
                f"price_{service}",
                f"service{service}",
                f"service{service}/run",
                model,
                msgspec.json.encode(price).decode(),
            )
        await connection.execute(_USAGE, accounts, _SERVICES, _HOURS, timeout=600)
        await connection.execute(_MARKS, accounts)
        await connection.execute("ANALYZE", timeout=600)
    finally:
        await connection.close()


async def _run(database: Database, accounts: int) -> tuple[CloseReport, float]:
    await migrate(database)
    await _fill(database, accounts)
    pool = await billing_pool(database.as_role(BILLING))
    try:
        started = time.perf_counter()
        report = await close(pool, _OCTOBER, SystemClock())
        return report, time.perf_counter() - started
    finally:
        await pool.close()


def main() -> int:
    """Measure once and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=1_000, help=f"{_FULL:,} for the whole measurement")
    accounts = parser.parse_args().accounts
    print(provenance(accounts=accounts))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        home.chmod(0o711)
        with EmbeddedPostgres(home) as postgres:
            report, seconds = asyncio.run(_run(Database(socket_dir=postgres.socket_dir), accounts))
    assert len(report.issued) == accounts, report.left_draft
    per_hour = accounts / seconds * 3600
    verdict = "PASS" if per_hour >= _BAR_PER_HOUR else "FAIL"
    print(
        f"{verdict}  {accounts:,} documents of {_SERVICES} lines in {seconds:.1f} s = {per_hour:,.0f} an hour "
        f"(bar >= {_BAR_PER_HOUR:,}); {_FULL:,} at this rate: {_FULL / accounts * seconds:,.0f} s"
    )
    return verdict == "FAIL"


if __name__ == "__main__":
    sys.exit(main())
