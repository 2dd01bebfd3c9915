"""The demo group's customs service, its calls and what happened to them, for tests of the service level."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import asyncpg
import msgspec

from catalog.passport import Passport, check_passport, document_of
from catalog.usage_event import UsageEvent
from catalog.vocabulary.clock import from_ns
from catalog.vocabulary.period import Period
from deploy.demo.group import Group, demo_group
from deploy.demo.plan import plan_of
from tests.passports import echo_document
from tests.usage_books import PROFILE, add_account, add_price, call

CHECK = {
    "internal": [("50", "3.60"), ("200", "3.40"), (None, "3.20")],
    "external": [("20", "4.90"), ("100", "4.60"), (None, "4.20")],
}
SCREEN = {"internal": "0.35", "external": "0.45"}
OBJECTIVES = (
    {
        "id": "papers",
        "measure": "outcome_rate",
        "outcome": "returned",
        "at_most": "0.0003",
        "operation": "check",
    },
    {"id": "screening-up", "measure": "availability", "at_least": "99.97", "operation": "screen"},
    {"id": "speed", "measure": "latency_ms", "quantile": "0.95", "at_most": 150},
    {"id": "errors", "measure": "error_rate", "at_most": "0.001"},
)
CREDITS = (
    {
        "objective": "papers",
        "schedule": [
            {"at_least": "99.97", "credit_pct": "0"},
            {"at_least": "99.9", "credit_pct": "10"},
            {"at_least": "0", "credit_pct": "25"},
        ],
    },
    {
        "objective": "screening-up",
        "schedule": [
            {"at_least": "99.97", "credit_pct": "0"},
            {"at_least": "99.9", "credit_pct": "5"},
            {"at_least": "0", "credit_pct": "25"},
        ],
    },
)


def customs_passport(
    objectives: Iterable[Mapping[str, Any]] = OBJECTIVES,
    credits: Iterable[Mapping[str, Any]] = CREDITS,  # noqa: A002
    **sla: Any,
) -> Passport:
    """A customs service with `check` and `screen`, delivered by three units."""
    document = echo_document()
    (echo,) = document["operations"]
    return check_passport(
        {
            **document,
            "service": "customs",
            "operations": [{**echo, "id": "check"}, {**echo, "id": "screen"}],
            "plans": [],
            "delivered_by": [
                {"unit": "logistics", "share_pct": "55"},
                {"unit": "legal", "share_pct": "25"},
                {"unit": "it", "share_pct": "20"},
            ],
            "sla": {"window": "month", "objectives": list(objectives), "credits": list(credits), **sla},
        }
    )


async def publish(
    admin: asyncpg.Connection, passport: Passport, published_at: datetime = datetime(2025, 1, 1, tzinfo=UTC)
) -> None:
    """The next revision of a passport, on sale since a moment."""
    await admin.execute(
        "INSERT INTO catalog.passport (service, revision, version, document, interface_digest, published_at, published_by) "
        "SELECT $1, coalesce(max(revision), 0) + 1, $2, $3, 'x', $4, 'test' FROM catalog.passport WHERE service = $1",
        passport.service,
        passport.version,
        msgspec.json.encode(document_of(passport)).decode(),
        published_at,
    )


async def open_demo_group(admin: asyncpg.Connection) -> None:
    """All 38 members under their names as ids, and the prices of both operations for both audiences."""
    for member in demo_group().members:
        profile = PROFILE if member.kind == "external" else None
        await add_account(admin, member.name, member.kind, member.timezone, profile=profile)
    for audience, tiers in CHECK.items():
        price = {"tiers": [{"up_to": up_to, "unit_price": price, "flat_fee": "0"} for up_to, price in tiers]}
        await add_price(admin, f"check-{audience}", "customs/check", "graduated", price)
        await add_price(admin, f"screen-{audience}", "customs/screen", price={"unit_price": SCREEN[audience]})


@cache
def _volumes() -> tuple[Group, Any]:
    return demo_group(), plan_of(demo_group())


def demo_calls(operation: str, period: Period, per_account: int | None = None) -> Iterator[UsageEvent]:
    """The plan's calls of a month, a minute apart from its first local noon on; at most so many for each account."""
    group, plan = _volumes()
    name = operation.partition("/")[2]
    for member in group.members:
        starts_at = period.bounds(member.timezone)[0] + timedelta(hours=12)
        count = plan.volume(member.name, operation, period.month)
        for number in range(count if per_account is None else min(count, per_account)):
            yield call(
                member.name,
                starts_at + timedelta(minutes=number),
                operation=operation,
                price_version=f"{name}-{member.kind}",
                subscription_id=f"sub_{member.name}",
            )


async def miss(admin: asyncpg.Connection, operation: str, starts_at: datetime, minutes: int) -> None:
    """The outside probe gets no answer for so many minutes."""
    await admin.executemany(
        "INSERT INTO billing.probe_minute (minute, probed, missed) VALUES ($1, 2, $2)",
        [(starts_at + timedelta(minutes=number), [operation]) for number in range(minutes)],
    )


async def report(
    admin: asyncpg.Connection, event: UsageEvent, reported_at: datetime, outcome: str = "returned"
) -> None:
    """A verdict of the payer's."""
    await admin.execute(
        "INSERT INTO billing.outcome_report (call_id, account_id, environment, operation, outcome, reason, occurred_at, "
        "reported_at, reported_by) VALUES ($1, $2, 'live', $3, $4, 'sent back by the border', $5, $6, 'key/x')",
        event.uuid,
        event.account_id,
        event.operation,
        outcome,
        from_ns(event.occurred_at_ns),
        reported_at,
    )
