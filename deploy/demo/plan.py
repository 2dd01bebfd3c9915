"""How many calls each member makes of each operation in each month: whole numbers that sum to the year's volume. Pure."""

from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from math import floor
from typing import TypeAlias

from deploy.demo.group import Driver, demo_group

Cell: TypeAlias = tuple[str, int]
"""A member's name and a calendar month, 1 to 12."""


@cache
def operations() -> Mapping[str, Driver]:
    """Every planned operation (`stock/reserve`) and what its volume follows, whether or not it is on sale yet."""
    return {name: driver for driver, volumes in demo_group().annual_volume.items() for name in volumes}


def volume(member: str, operation: str, month: int) -> int:
    """The calls of a member in a calendar month of any year; KeyError for what the plan does not know."""
    return volumes(operation)[member, month]


@cache
def volumes(operation: str) -> Mapping[Cell, int]:
    """The calls of an operation in each member's calendar months; they sum to the year's volume.

    A cell's part is annual volume x the member's share x the season, rounded by largest remainder over all cells;
    equal remainders go by member and month.
    """
    group, driver = demo_group(), operations()[operation]
    annual = group.annual_volume[driver][operation]
    exact = {
        (member.name, month): annual * member.share[driver] * season
        for member in group.members
        for month, season in group.season.items()
    }
    whole = {cell: floor(part) for cell, part in exact.items()}
    by_remainder = sorted(exact, key=lambda cell: (whole[cell] - exact[cell], cell))
    for cell in by_remainder[: annual - sum(whole.values())]:
        whole[cell] += 1
    assert sum(exact.values(), Fraction()) == annual, "shares and seasons each sum to 1"
    return whole
