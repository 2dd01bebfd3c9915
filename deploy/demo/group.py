"""The demo group as group.yaml describes it: members, their shares of the volume, the seasons."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from functools import cache
from importlib import resources
from typing import Literal, TypeAlias

import msgspec
from ruamel.yaml import YAML

from catalog.accounts.seller import SellerProfile
from catalog.vocabulary.problem import Text

MemberKind: TypeAlias = Literal["internal", "external"]
Driver: TypeAlias = Literal["domestic", "customs"]
"""What the volume of an operation follows: orders at home, or declarations at a border."""


class Contract(msgspec.Struct, frozen=True):
    """Each month a fee, a discount on the sum in percent, and what the bill comes to at least."""

    access_fee: Decimal
    discount_pct: Decimal = Decimal(0)
    minimum: Decimal = Decimal(0)


class Member(msgspec.Struct, frozen=True):
    """A brand or a dealer. `share` is its part of all calls that a driver causes; the members' parts sum to 1.

    `cost_centres` is empty for dealers: their calls are the account's own. `contract` is what it agreed to beside prices.
    """

    name: str
    title: Text
    kind: MemberKind
    timezone: str
    share: Mapping[Driver, Fraction]
    cost_centres: tuple[str, ...] = ()
    contract: Contract | None = None


class Group(msgspec.Struct, frozen=True):
    """`season` maps the calendar month, 1 to 12, to its part of a year, which sum to 1; volumes are calls in a year.
    `seller` is who issues the group's documents."""

    currency: str
    seller: SellerProfile
    season: Mapping[int, Fraction]
    annual_volume: Mapping[Driver, Mapping[str, int]]
    members: tuple[Member, ...]

    @property
    def timezones(self) -> frozenset[str]:
        """The zones of all members."""
        return frozenset(member.timezone for member in self.members)


class _Brand(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    en: str
    zh: str
    domestic: int
    customs: int
    cost_centres: list[str]


class _Brands(msgspec.Struct, forbid_unknown_fields=True):
    timezone: str
    members: list[_Brand]


class _Town(msgspec.Struct, forbid_unknown_fields=True):
    en: str
    zh: str


class _TownAbroad(_Town, forbid_unknown_fields=True):
    timezone: str


class _Home(msgspec.Struct, forbid_unknown_fields=True):
    timezone: str
    towns: list[_Town]


class _Committed(msgspec.Struct, forbid_unknown_fields=True):
    largest: int
    discount_pct: Decimal
    minimum: Decimal


class _Dealers(msgspec.Struct, forbid_unknown_fields=True):
    domestic: int
    customs_home: int
    customs_abroad: int
    access_fee: Decimal
    committed: _Committed
    home: _Home
    abroad: list[_TownAbroad]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    currency: str
    seller: SellerProfile
    season_per_mille: dict[int, int]
    annual_volume: dict[Driver, dict[str, int]]
    brands: _Brands
    dealers: _Dealers


@cache
def demo_group() -> Group:
    """The group of group.yaml."""
    text = resources.files("deploy.demo").joinpath("group.yaml").read_text("utf-8")
    file = msgspec.convert(YAML(typ="safe", pure=True).load(text), _File)
    return Group(
        file.currency,
        file.seller,
        {month: Fraction(part, 1000) for month, part in file.season_per_mille.items()},
        file.annual_volume,
        (*_brands(file.brands), *_dealers(file.dealers)),
    )


def _brands(brands: _Brands) -> Iterator[Member]:
    for brand in brands.members:
        share: dict[Driver, Fraction] = {
            "domestic": Fraction(brand.domestic, 100),
            "customs": Fraction(brand.customs, 100),
        }
        title = Text(brand.en, brand.zh)
        yield Member(brand.name, title, "internal", brands.timezone, share, tuple(brand.cost_centres))


def _dealers(dealers: _Dealers) -> Iterator[Member]:
    towns = [*dealers.home.towns, *dealers.abroad]
    sizes = [Fraction(1, number + 3) for number in range(1, len(towns) + 1)]
    at_home = sum(sizes[: len(dealers.home.towns)])
    for number, (town, size) in enumerate(zip(towns, sizes, strict=True), 1):
        if isinstance(town, _TownAbroad):
            title = Text(f"{town.en} Trading", f"{town.zh} Trading")
            timezone = town.timezone
            customs = Fraction(dealers.customs_abroad, 100 * len(dealers.abroad))
        else:
            title = Text(f"{town.en} Trading", f"{town.zh}商贸")
            timezone = dealers.home.timezone
            customs = Fraction(dealers.customs_home, 100) * size / at_home
        share: dict[Driver, Fraction] = {
            "domestic": Fraction(dealers.domestic, 100) * size / sum(sizes),
            "customs": customs,
        }
        contract = Contract(dealers.access_fee)
        if number <= dealers.committed.largest:
            contract = Contract(dealers.access_fee, dealers.committed.discount_pct, dealers.committed.minimum)
        yield Member(f"d-{number:02d}", title, "external", timezone, share, contract=contract)
