"""How long a price simulation takes on a month of 1,000,000 rolled-up hours; exit status 1 above 30 s.

10,000 accounts used five operations in twenty hours each, on graduated, package and per-unit prices; hardly two of them
used the same quantity, so that no rating saves another one.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import asyncpg
import msgspec

from billing.invoice.simulate import Simulation, simulate
from billing.store.connection import billing_pool
from billing.transaction import one_snapshot
from catalog.plan import Plan, parse_plan
from catalog.vocabulary.period import Period
from deploy.database import Database
from deploy.embedded_postgres import EmbeddedPostgres
from deploy.migrate import migrate
from deploy.roles import BILLING
from tests.performance.provenance import provenance

_BAR_S = 30.0
_HOURS = 20
_TIERS = {
    "tiers": [
        {"up_to": "100", "unit_price": "0.05", "flat_fee": "0"},
        {"up_to": "1000", "unit_price": "0.04", "flat_fee": "1"},
        {"up_to": None, "unit_price": "0.03", "flat_fee": "0"},
    ]
}
_PACKAGE = {"package_size": "100", "package_price": "0.90", "free_units": "0", "round": "up"}
_PRICES = (
    ("validate", "graduated", _TIERS),
    ("suggest", "package", _PACKAGE),
    ("parse", "per_unit", {"unit_price": "0.06"}),
    ("format", "per_unit", {"unit_price": "0.005"}),
    ("normalise", "volume", _TIERS),
)
_ACCOUNTS = (
    "INSERT INTO catalog.account (id, name, title, kind, currency, timezone, created_at) "
    "SELECT 'acct_' || n, 'account ' || n, '{\"en\": \"account\"}', 'internal', 'CNY', 'Asia/Shanghai', now() "
    "FROM generate_series(1, $1) AS n"
)
_SUBSCRIPTIONS = (
    "INSERT INTO catalog.subscription (id, account_id, service, plan_id, starts_at) "
    "SELECT 'sub_' || n, 'acct_' || n, 'address', 'internal', '2026-01-01' FROM generate_series(1, $1) AS n"
)
_USAGE = """
    INSERT INTO billing.usage_hour (account_id, environment, period, hour, subscription_id, application_id, cost_centre_id,
        operation, price_version, class, outcome, fault, calls, billable_calls, units, latency_us_sum)
    SELECT 'acct_' || n, 'live', '2026-10-01', '2026-10-05'::timestamptz + hour * interval '1 hour', 'sub_' || n,
           'app_' || n, '', 'address/' || operation, operation, 'ok', 'success', 'none', calls, calls, calls, calls * 900
    FROM generate_series(1, $1) AS n, generate_series(1, $2) AS hour,
         unnest($3::text[]) AS operation, LATERAL (SELECT 1 + (hashtext(n || operation || hour) & 2047) AS calls) AS used
"""


async def _fill(database: Database, accounts: int) -> int:
    connection = await asyncpg.connect(**database.admin())
    try:
        await connection.execute(_ACCOUNTS, accounts)
        await connection.execute(_SUBSCRIPTIONS, accounts)
        for operation, model, price in _PRICES:
            await connection.execute(
                "INSERT INTO catalog.price_version (id, service, plan_id, audience, operation, currency, version, "
                "effective_from, billable_on, model, price, published_at) VALUES ($1, 'address', 'internal', 'internal', "
                "$2, 'CNY', 1, '2026-01-01', 'success', $3, $4, now())",
                operation,
                f"address/{operation}",
                model,
                msgspec.json.encode(price).decode(),
            )
        await connection.execute(_USAGE, accounts, _HOURS, [operation for operation, _, _ in _PRICES])
        await connection.execute("ANALYZE billing.usage_hour")
        rows: int = await connection.fetchval("SELECT count(*) FROM billing.usage_hour")
        return rows
    finally:
        await connection.close()


def _draft() -> Plan:
    return parse_plan(
        {
            "id": "internal",
            "audience": "internal",
            "effective_from": "2027-01-01",
            "prices": [
                {
                    "operation": operation,
                    "currency": "CNY",
                    "model": "volume" if model == "graduated" else model,
                    "price": price,
                }
                for operation, model, price in _PRICES
            ],
        }
    )


async def _run(database: Database, accounts: int) -> tuple[int, Simulation, float]:
    await migrate(database)
    rows = await _fill(database, accounts)
    pool = await billing_pool(database.as_role(BILLING))
    try:
        started = time.perf_counter()
        async with one_snapshot(pool) as connection:
            effect = await simulate(connection, "address", [_draft()], Period(2026, 10), "live")
        return rows, effect, time.perf_counter() - started
    finally:
        await pool.close()


def main() -> int:
    """Measure once and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=10_000)
    accounts = parser.parse_args().accounts
    print(provenance(accounts=accounts))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        home.chmod(0o711)
        with EmbeddedPostgres(home) as postgres:
            rows, effect, seconds = asyncio.run(_run(Database(socket_dir=postgres.socket_dir), accounts))
    assert len(effect.lines) == accounts * len(_PRICES)
    verdict = "PASS" if seconds <= _BAR_S else "FAIL"
    print(
        f"{verdict}  {rows:,} hours, {len(effect.lines):,} lines in {seconds:.1f} s (bar <= {_BAR_S:.0f} s)"
    )
    return verdict == "FAIL"


if __name__ == "__main__":
    sys.exit(main())
