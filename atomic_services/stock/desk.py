"""What reservations are decided from: levels, rules and channels as they stand while a group of calls is worked off."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime

from msgspec.structs import replace

from atomic_services.contract import Transaction
from atomic_services.stock.allocation import Share
from atomic_services.stock.levels import Level, Levels, Owner
from atomic_services.stock.sourcing import Key
from atomic_services.stock.terms import (
    Channel,
    ChannelKey,
    Policy,
    held_by_channel,
    read_channels,
    read_policies,
    read_supplies,
)


class Desk:
    """In memory, so that each call of a group sees what the ones before it have taken; its rows are locked."""

    def __init__(
        self,
        levels: Levels,
        policies: Mapping[Owner, Policy],
        channels: Mapping[ChannelKey, Channel],
        left: dict[ChannelKey, int],
        supplies: Mapping[Owner, Mapping[Key, Mapping[date, int]]],
    ) -> None:
        """`left` is what of each channel's quota is neither held nor sold."""
        self.policies = policies
        self.channels = channels
        self.left = left
        self._supplies = supplies
        self._shelves: dict[tuple[Owner, str], dict[str, Level]] = {}
        for owner, own in levels.items():
            for (sku, warehouse), level in own.items():
                self._shelves.setdefault((owner, sku), {})[warehouse] = level

    def levels(self, owner: Owner, skus: Iterable[str], channel: Channel | None) -> list[Level]:
        """The levels of these SKUs now; of a channel, those that it covers."""
        return [
            level
            for sku in dict.fromkeys(skus)
            for warehouse, level in self._shelves.get((owner, sku), {}).items()
            if channel is None or channel.covers(sku, warehouse)
        ]

    def held_back(self, owner: Owner, levels: Iterable[Level], today: date) -> list[Level]:
        """Those of the levels of which new orders wait, by the owner's rule."""
        policy, supplies = self.policies[owner], self._supplies.get(owner, {})
        return [
            level
            for level in levels
            if policy.holds(level, supplies.get((level.sku, level.warehouse), ()), today)
        ]

    def next_supply(self, owner: Owner, level: Level, today: date) -> date | None:
        """The first day from today on which units of it are expected."""
        supplies = self._supplies.get(owner, {}).get((level.sku, level.warehouse), {})
        return min((day for day in supplies if day >= today), default=None)

    def take(self, owner: Owner, channel: ChannelKey | None, shares: Sequence[Share]) -> None:
        """Count these units as reserved from now on."""
        for share in shares:
            shelf = self._shelves[owner, share.sku]
            level = shelf[share.warehouse]
            shelf[share.warehouse] = replace(level, reserved=level.reserved + share.quantity)
            if channel is not None:
                self.left[channel] -= share.quantity


async def open_desk(
    transaction: Transaction, levels: Levels, owners: set[Owner], keys: set[ChannelKey], moment: datetime
) -> Desk:
    """Read and lock, after the levels, what else decides: two statements, and more only where it is used."""
    policies = await read_policies(transaction, owners)
    channels = await read_channels(transaction, keys, lock=True)
    held = await held_by_channel(transaction, channels, moment)
    left = {key: max(one.quota - one.sold - held.get(key, 0), 0) for key, one in channels.items()}
    supplies = {
        owner: await read_supplies(transaction, owner, sorted({sku for sku, _ in levels.get(owner, ())}))
        for owner in owners
        if policies[owner].holds_orders
    }
    return Desk(levels, policies, channels, left, supplies)
