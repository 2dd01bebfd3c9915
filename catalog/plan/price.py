"""The price models: one frozen struct each, named as in a passport.

Upper bounds of tiers are inclusive, `None` is infinity. Percentages are in percent (`"2.5"` is 2.5 %). Every
model may carry the modifiers of `Modifiers`; those that price one quantity also those of `QuantityModifiers`.
They apply in a fixed order: free units, conversion, price, success factor, percentage discount, fixed discount,
minimum, maximum.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

import msgspec

from catalog.plan.decimal_text import Amount, Count, Size

QuantityRounding = Literal["up", "down", "half_up", "none"]
# What is metered of an operation, and so may be bounded by a capacity on sale: the month's billable calls and units, and the
# most of them on one day and in one hour of the payer's clock.
CapacityUnit = Literal["calls", "units", "calls_per_day", "units_per_day", "calls_per_hour", "units_per_hour"]
CAPACITY_UNITS: tuple[CapacityUnit, ...] = get_args(CapacityUnit)


class SuccessFactor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`factor_pct` of the amount is billed from this success rate (percent, inclusive) upwards."""

    min_success_rate: Amount
    factor_pct: Amount


class Modifiers(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What may stand on any price: discounts on the amount, then bounds for the period."""

    success_factor: tuple[SuccessFactor, ...] = ()
    discount_pct: Amount = "0"
    discount_amount: Amount = "0"
    minimum: Amount | None = None
    maximum: Amount | None = None


class QuantityModifiers(Modifiers, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What may stand on a price of one quantity: free units first, then a conversion of units."""

    free_units: Amount = "0"
    divide_by: Size = "1"
    round: QuantityRounding = "none"


class PerUnit(QuantityModifiers, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """`per_unit`: the quantity times a unit price."""

    unit_price: Amount


class UnitConversion(
    QuantityModifiers, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """`unit_conversion`: a unit price for a unit that is `divide_by` metered units."""

    unit_price: Amount
    divide_by: Size


class Flat(Modifiers, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """`flat`: a fixed fee for the period, whatever was used."""

    amount: Amount


class Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Units up to and including `up_to`; the flat fee is due once the tier is entered."""

    up_to: Amount | None
    unit_price: Amount
    flat_fee: Amount = "0"


class Graduated(QuantityModifiers, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """`graduated`: each unit at the price of its own tier."""

    tiers: tuple[Tier, ...]
    zero_usage_bills_first_tier_flat: bool = False


class Volume(QuantityModifiers, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """`volume`: all units at the price of the tier that the total falls into."""

    tiers: tuple[Tier, ...]
    zero_usage_bills_first_tier_flat: bool = False


class Package(Modifiers, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """`package`: whole packages after the free units; `round` says what a package begun is."""

    package_size: Size
    package_price: Amount
    free_units: Amount = "0"
    round: Literal["up", "down"] = "up"
    zero_usage: Literal["one_package"] | None = None


class Percentage(Modifiers, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """`percentage`: a share of each event's value, plus a fixed fee, bounded event by event.

    The first events are free until `free_events` or `free_amount` is used up, whichever comes first; the event
    that uses up the amount pays for its rest. `None` and `"0"` grant nothing.
    """

    rate_pct: Amount
    fixed_per_event: Amount = "0"
    free_events: Count | None = None
    free_amount: Amount | None = None
    min_per_event: Amount | None = None
    max_per_event: Amount | None = None


class PercentageTier(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Value up to and including `up_to`, at `rate_pct`."""

    up_to: Amount | None
    rate_pct: Amount
    flat_fee: Amount = "0"


class GraduatedPercentage(
    QuantityModifiers, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """`graduated_percentage`: each part of the value at the rate of its own tier."""

    tiers: tuple[PercentageTier, ...]
    zero_usage_bills_first_tier_flat: bool = False


class VolumePercentage(
    QuantityModifiers, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """`volume_percentage`: the whole value at the rate of the tier that it falls into."""

    tiers: tuple[PercentageTier, ...]
    zero_usage_bills_first_tier_flat: bool = False


class BlockTier(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """At most `max_blocks` blocks of `block_size` units, each at `block_price`; the last tier never ends."""

    block_size: Size
    max_blocks: Count | None
    block_price: Amount


class BlockGraduated(
    QuantityModifiers, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """`block_graduated`: whole blocks, rounded up inside each tier."""

    tiers: tuple[BlockTier, ...]


class BlockVolume(
    QuantityModifiers, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """`block_volume`: all units in whole blocks of the tier that the total falls into."""

    tiers: tuple[BlockTier, ...]


class Dynamic(QuantityModifiers, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """`dynamic`: the metered value is money already, such as a carrier's cost; it is multiplied."""

    multiplier: Amount


class CapacityTier(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Enough for `max` of each unit (inclusive); `None` is enough for everything. Units on sale: `CAPACITY_UNITS`."""

    max: dict[str, Amount] | None
    price: Amount


class Capacity(Modifiers, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """`capacity`: a fee for the period, that of the highest tier that any unit needs."""

    tiers: tuple[CapacityTier, ...]
    zero_usage_bills_first_tier_flat: bool = False


class MatrixCell(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The unit price of one combination: a value for each dimension of the matrix."""

    dimensions: dict[str, str]
    unit_price: Amount

    def __hash__(self) -> int:
        """Equal cells have equal hashes, in whatever order they name their dimensions."""
        return hash((frozenset(self.dimensions.items()), self.unit_price))


class Matrix(Modifiers, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """`matrix`: a unit price per combination; `default` prices every combination that is not listed. Without it one that is
    not listed has no price and cannot be sold."""

    dimensions: tuple[str, ...]
    cells: tuple[MatrixCell, ...]
    default: Amount | None = None

    def unit_price(self, values: Mapping[str, str]) -> str | None:
        """The unit price of a combination that gives a value for each dimension, None where it has none."""
        wanted = {name: values[name] for name in self.dimensions}
        return next((cell.unit_price for cell in self.cells if cell.dimensions == wanted), self.default)


class SuccessTier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The unit price from this success rate (percent, inclusive) upwards."""

    min_success_rate: Amount
    unit_price: Amount


class SuccessTiered(
    QuantityModifiers, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """`success_tiered`: the unit price depends on the success rate that was reached.

    `measured_on` says whose calls the rate is taken of. With fewer judged calls than `minimum_sample` the
    trailing three months decide; if they too are fewer, the first tier applies.
    """

    tiers: tuple[SuccessTier, ...]
    measured_on: Literal["account", "service"] = "account"
    minimum_sample: Count = 0


class Outcome(Modifiers, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """`outcome`: a share of a proven result; `of` points at the reply's field that states it (`/reply/saving`), and without it
    the provider states results. Calls are not billed, and a result is once its payer has accepted it.

    `min` and `max` bound the share of one result; where nothing was gained nothing is owed, not even `min`.
    """

    rate_pct: Amount
    of: str | None = None
    min: Amount | None = None
    max: Amount | None = None


class CreditStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`credit_pct` of the charges is given back from this attainment (percent, inclusive) upwards."""

    at_least: Amount
    credit_pct: Amount


class SlaCredit(Modifiers, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """`sla_credit`: the credit for a period whose attainment fell to a row. A schedule, not for sale."""

    schedule: tuple[CreditStep, ...]


# The prices that a bucket, which is one quantity, can have.
BucketPrice: TypeAlias = (
    PerUnit
    | UnitConversion
    | Flat
    | Graduated
    | Volume
    | Package
    | GraduatedPercentage
    | VolumePercentage
    | BlockGraduated
    | BlockVolume
    | Dynamic
)


class Bucketed(Modifiers, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """`bucketed`: `price`, of the model named in `model`, applied to each time bucket by itself.

    The modifiers inside `price` work per bucket, those beside it on the period. Decoded by `parse_price` only.
    """

    model: str
    price: BucketPrice


Price: TypeAlias = (
    BucketPrice | Percentage | Capacity | Bucketed | Matrix | SuccessTiered | Outcome | SlaCredit
)
