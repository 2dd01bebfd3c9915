"""How many calls each member makes of each operation in each month: whole numbers that sum to the year's volume. Pure."""

from collections.abc import Mapping
from fractions import Fraction
from math import floor
from typing import TypeAlias

import msgspec

from deploy.demo.group import Driver, Group

Cell: TypeAlias = tuple[str, int]
"""A member's name and a calendar month, 1 to 12."""


class Plan(msgspec.Struct, frozen=True):
    """The calls of every operation (`stock/reserve`) by cell, whether or not the operation is on sale yet."""

    volumes: Mapping[str, Mapping[Cell, int]]

    def volume(self, member: str, operation: str, month: int) -> int:
        """The calls of a member in a calendar month of any year; KeyError for what the plan does not know."""
        return self.volumes[operation][member, month]


def plan_of(group: Group) -> Plan:
    """The plan of a group, in which every year's volume is spent to the last call."""
    return Plan(
        {
            operation: _spread(group, annual, driver)
            for driver, volumes in group.annual_volume.items()
            for operation, annual in volumes.items()
        }
    )


def _spread(group: Group, annual: int, driver: Driver) -> Mapping[Cell, int]:
    """Annual volume x the member's share x the season, rounded by largest remainder over all cells.

    Equal remainders go by member and month.
    """
    exact = {
        (member.name, month): annual * member.share[driver] * season
        for member in group.members
        for month, season in group.season.items()
    }
    assert sum(exact.values(), Fraction()) == annual, "shares and seasons each sum to 1"
    whole = {cell: floor(part) for cell, part in exact.items()}
    by_remainder = sorted(exact, key=lambda cell: (whole[cell] - exact[cell], cell))
    for cell in by_remainder[: annual - sum(whole.values())]:
        whole[cell] += 1
    return whole
