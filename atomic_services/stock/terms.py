"""The owner's terms that a call meets: its policy, the channel that the caller uses, and supplies that are near."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from msgspec import Struct

from atomic_services.contract import Transaction
from atomic_services.stock.fields import Line
from atomic_services.stock.levels import Level, Owner
from atomic_services.stock.sourcing import Key, Sourcing
from catalog.vocabulary.problem import BusinessRefusal


class Policy(Struct, frozen=True):
    """What an owner wants done with its stock; these are the defaults."""

    sourcing: Sourcing = Sourcing()
    promises_safety_stock: bool = False
    holds_orders: bool = False
    hold_days: int = 7

    def promisable(self, level: Level) -> int:
        """Units of a level that may be promised to somebody, whether or not orders are held; below 0 if some lack."""
        return level.available - (0 if self.promises_safety_stock else level.safety_stock)

    def holds(self, level: Level, expected_on: Iterable[date], today: date) -> bool:
        """Whether new orders of this level wait: less than the safety stock, and no supply within the days."""
        if not self.holds_orders or level.available >= level.safety_stock:
            return False
        last = today + timedelta(days=self.hold_days)
        return not any(today <= day <= last for day in expected_on)


class Channel(Struct, frozen=True):
    """A part of an owner's stock that was granted to one account."""

    owner: Owner
    name: str
    grantee_id: str
    warehouse: str | None
    skus: str
    quota: int
    sold: int
    active: bool

    def covers(self, sku: str, warehouse: str | None) -> bool:
        """Whether it lends this SKU there; without a warehouse, anywhere."""
        matches = sku.startswith(self.skus[:-1]) if self.skus.endswith("*") else sku == self.skus
        return matches and (self.warehouse is None or warehouse in (None, self.warehouse))


ChannelKey = tuple[Owner, str]

_POLICY = """
    SELECT account_id, sourcing, priority, promises_safety_stock, holds_orders, hold_days
    FROM stock.policy WHERE account_id = ANY ($1::text[]) AND environment = $2
"""

_CHANNELS = """
    SELECT account_id, environment, channel, grantee_id, warehouse, sku_pattern, quota, sold, active
    FROM stock.channel
    WHERE environment = $1 AND (account_id, channel) IN (SELECT * FROM unnest($2::text[], $3::text[]))
    ORDER BY account_id, channel
"""

# In a statement of its own after the lock, so that it sees what the one who had the lock before has committed.
_HELD = """
    SELECT owner_id, channel, sum(quantity)::bigint AS quantity FROM stock.reservation_line
    WHERE environment = $1 AND (owner_id, channel) IN (SELECT * FROM unnest($2::text[], $3::text[]))
      AND state = 'held' AND expires_at > $4
    GROUP BY owner_id, channel
"""

_SUPPLIES = """
    SELECT sku, warehouse, expected_on, sum(open)::bigint AS open FROM stock.supply
    WHERE account_id = $1 AND environment = $2 AND sku = ANY ($3::text[]) AND open > 0
    GROUP BY sku, warehouse, expected_on ORDER BY sku, warehouse, expected_on
"""


async def read_policies(transaction: Transaction, owners: Iterable[Owner]) -> dict[Owner, Policy]:
    """The policy of each owner, all of one environment; the defaults where nothing was set."""
    wanted = sorted(set(owners))
    policies = dict.fromkeys(wanted, Policy())
    rows = await transaction.fetch(_POLICY, [owner.account_id for owner in wanted], wanted[0].environment)
    for row in rows:
        policies[Owner(row["account_id"], wanted[0].environment)] = Policy(
            Sourcing(row["sourcing"], tuple(row["priority"])),
            row["promises_safety_stock"],
            row["holds_orders"],
            row["hold_days"],
        )
    return policies


async def read_channels(
    transaction: Transaction, keys: Iterable[ChannelKey], *, lock: bool = False
) -> dict[ChannelKey, Channel]:
    """The channels that the caller may know of, all of one environment; locked after the levels and before any line."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    query = _CHANNELS + "FOR NO KEY UPDATE" if lock else _CHANNELS
    rows = await transaction.fetch(query, *_columns(wanted))
    return {(channel.owner, channel.name): channel for channel in map(channel_of, rows)}


async def held_by_channel(
    transaction: Transaction, keys: Iterable[ChannelKey], moment: Any
) -> dict[ChannelKey, int]:
    """Units that are reserved under each channel at a moment."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    rows = await transaction.fetch(_HELD, *_columns(wanted), moment)
    environment = wanted[0][0].environment
    return {(Owner(row["owner_id"], environment), row["channel"]): row["quantity"] for row in rows}


async def read_supplies(
    transaction: Transaction, owner: Owner, skus: Sequence[str]
) -> dict[Key, dict[date, int]]:
    """What is still to come of each level, by day; late supplies stand on the day on which they were expected."""
    rows = await transaction.fetch(_SUPPLIES, owner.account_id, owner.environment, list(skus))
    supplies: dict[Key, dict[date, int]] = {}
    for row in rows:
        supplies.setdefault((row["sku"], row["warehouse"]), {})[row["expected_on"]] = row["open"]
    return supplies


def check_granted(
    channel: Channel | None, owner: Owner, name: str | None, account_id: str, lines: Sequence[Line]
) -> None:
    """`stock-not-granted` unless the caller may use this channel for these lines; own stock needs none."""
    if owner.account_id == account_id and name is None:
        return
    if channel is None or not channel.active or channel.grantee_id != account_id:
        raise BusinessRefusal(
            "stock-not-granted",
            f"No channel {name!r} of {owner.account_id!r} is granted to you."
            if name is not None
            else f"Stock of {owner.account_id!r} is used through a channel: name it.",
        )
    for index, line in enumerate(lines):
        if not channel.covers(line.sku, line.warehouse):
            raise BusinessRefusal(
                "stock-not-granted",
                f"/lines/{index}: channel {name!r} does not cover {line.sku} there.",
                extra={"line": index},
            )


def channel_of(row: Mapping[str, Any]) -> Channel:
    """A row of the table."""
    return Channel(
        Owner(row["account_id"], row["environment"]),
        row["channel"],
        row["grantee_id"],
        row["warehouse"],
        row["sku_pattern"],
        row["quota"],
        row["sold"],
        row["active"],
    )


def _columns(keys: Sequence[ChannelKey]) -> tuple[str, list[str], list[str]]:
    return (
        keys[0][0].environment,
        [owner.account_id for owner, _ in keys],
        [name for _, name in keys],
    )
