"""Accounts, prices and calls for tests of billing: written as the product's own roles and steps write them."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec

from billing.rollup.roll_up import roll_up
from billing.store.partitions import ensure_days
from billing.store.usage_row import COLUMNS, RecordedBy, partition_day, usage_row
from catalog.usage_event import CallClass, UsageEvent
from tests.usage_calls import usage_event

PROFILE = {
    "legal_name": "Hefei Trading Ltd",
    "address": "1 Changjiang Road, Hefei",
    "tax_id": "91340100MA2N0000X0",
}
GRADUATED: Mapping[str, Any] = {
    "tiers": [
        {"up_to": "10", "unit_price": "0.055", "flat_fee": "0"},
        {"up_to": "25", "unit_price": "0.033", "flat_fee": "0.50"},
        {"up_to": None, "unit_price": "0.0271", "flat_fee": "0"},
    ]
}

# Whoever calls more often pays less for all of it: usage that comes late makes its month cheaper.
FALLING: Mapping[str, Any] = {
    "tiers": [
        {"up_to": "10", "unit_price": "10.00", "flat_fee": "0"},
        {"up_to": None, "unit_price": "1.00", "flat_fee": "0"},
    ]
}

# A schedule of what is given back is no price: no usage can be rated by it.
UNRATABLE: Mapping[str, Any] = {
    "model": "sla_credit",
    "price": {"schedule": [{"at_least": "0", "credit_pct": "10"}]},
}

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_ENDINGS: Mapping[CallClass, tuple[str, str]] = {
    "ok": ("success", "none"),
    "declined": ("business_refusal", "none"),
    "caller_error": ("failure", "caller"),
    "provider_error": ("failure", "provider"),
}


async def add_account(
    admin: asyncpg.Connection,
    account_id: str,
    kind: str = "internal",
    timezone: str = "Asia/Shanghai",
    currency: str = "CNY",
    profile: Mapping[str, str] | None = None,
    name: str | None = None,
) -> None:
    """An account with one application and one cost centre, `app_<id>` and `cc_<id>`."""
    await admin.execute(
        "INSERT INTO catalog.account (id, name, title, kind, currency, timezone, billing_profile, created_at) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        account_id,
        name or account_id,
        msgspec.json.encode({"en": name or account_id, "zh-CN": "沁源饮品"}).decode(),
        kind,
        currency,
        timezone,
        None if profile is None else msgspec.json.encode(profile).decode(),
        _EPOCH,
    )
    await admin.execute(
        "INSERT INTO catalog.cost_centre (id, account_id, name) VALUES ($1, $2, '电商平台')",
        f"cc_{account_id}",
        account_id,
    )
    await admin.execute(
        "INSERT INTO catalog.application (id, account_id, name, cost_centre_id, created_at) "
        "VALUES ($1, $2, 'Web shop', $3, $4)",
        f"app_{account_id}",
        account_id,
        f"cc_{account_id}",
        _EPOCH,
    )


async def add_price(
    admin: asyncpg.Connection,
    price_id: str,
    operation: str = "address/validate",
    model: str = "per_unit",
    price: Mapping[str, Any] | None = None,
    currency: str = "CNY",
    version: int = 1,
) -> None:
    """A published price version; 0.055 a unit unless said otherwise."""
    await admin.execute(
        "INSERT INTO catalog.price_version (id, service, plan_id, audience, operation, currency, version, "
        "effective_from, billable_on, model, price, published_at) "
        "VALUES ($1, $2, $1, 'both', $3, $4, $5, $6, 'success', $7, $8, $6)",
        price_id,
        operation.partition("/")[0],
        operation,
        currency,
        version,
        _EPOCH,
        model,
        msgspec.json.encode(price or {"unit_price": "0.055"}).decode(),
    )


def call(
    account_id: str,
    occurred_at: datetime,
    *,
    price_version: str = "price",
    units: str = "1",
    class_: CallClass = "ok",
    **fields: Any,
) -> UsageEvent:
    """One call of the account's application, billable if it is `ok` and has a price."""
    billable = class_ == "ok" and bool(price_version)
    outcome, fault = _ENDINGS[class_]
    ids = {"application_id": "app", "cost_centre_id": "cc", "subscription_id": "sub"}
    return usage_event(
        occurred_at,
        **{
            "account_id": account_id,
            **{field: f"{prefix}_{account_id}" for field, prefix in ids.items()},
            "price_version": price_version,
            "class_": class_,
            "outcome": outcome,
            "fault": fault,
            "billable": billable,
            "units": units if billable else "0",
            **fields,
        },
    )


async def store(
    pool: asyncpg.Pool, events: Iterable[UsageEvent], recorded_by: RecordedBy = "transaction"
) -> None:
    """Usage rows of these calls, committed together."""
    rows = [usage_row(one, recorded_by) for one in events]
    async with pool.acquire() as connection, connection.transaction():
        await ensure_days(connection, {partition_day(row[0]) for row in rows})  # type: ignore[arg-type]
        await connection.executemany(
            f"INSERT INTO billing.usage_event ({', '.join(COLUMNS)}) "  # noqa: S608
            f"VALUES ({', '.join(f'${n}' for n in range(1, len(COLUMNS) + 1))})",
            rows,
        )


async def use(pool: asyncpg.Pool, events: Iterable[UsageEvent]) -> None:
    """Store calls and roll them up."""
    await store(pool, events)
    await roll_up_all(pool)


async def roll_up_all(pool: asyncpg.Pool) -> None:
    """Roll up until nothing is left."""
    async with pool.acquire() as connection:
        while (await roll_up(connection)).more:
            pass
