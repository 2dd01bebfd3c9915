"""The numbers of a price: decimal strings, kept as the text that was published.

What is stored, shown and agreed is the text itself; rating turns it into an exact fraction. So a price survives
YAML, JSON and PostgreSQL unchanged, and no binary float can enter. Bounds: 18 digits before the point, 20 after.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

import msgspec

_DIGITS = r"[0-9]{1,18}(\.[0-9]{1,20})?"
_AMOUNT = rf"^{_DIGITS}\Z"
_SIZE = rf"^(?=.*[1-9]){_DIGITS}\Z"
_COUNT = r"^[0-9]{1,18}\Z"

# Zero or more: prices, fees, percentages, bounds.
Amount = Annotated[str, msgspec.Meta(pattern=_AMOUNT)]

# More than zero: what something is divided by.
Size = Annotated[str, msgspec.Meta(pattern=_SIZE)]

# A whole number of things; the quotes are optional because it has no digits to lose.
Count = Annotated[int, msgspec.Meta(ge=0)] | Annotated[str, msgspec.Meta(pattern=_COUNT)]

_DECIMAL = 'a decimal such as "12.50" is needed: no sign, no exponent, at most 18 digits before and 20 after the point'

# What to do about a text that does not match, by pattern.
REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        _AMOUNT: _DECIMAL,
        _SIZE: f"{_DECIMAL}; more than zero",
        _COUNT: 'a whole number such as "1000" is needed',
    }
)
