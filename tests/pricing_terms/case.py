"""What a case is, and when an answer is what it expects."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

Case: TypeAlias = Mapping[str, Any]
Found: TypeAlias = Mapping[str, Decimal | Sequence[Decimal]]
"""Named figures; `amount` is what `expected_amount` is about."""


def agrees(case: Case, found: Found) -> bool:
    """Whether that is what the case expects, in every figure that both name."""
    wanted = {**case.get("expected", {}), "amount": case["expected_amount"]}
    return all(_same(wanted[name], value) for name, value in found.items() if name in wanted)


def _same(wanted: object, found: Decimal | Sequence[Decimal]) -> bool:
    if isinstance(wanted, dict):
        wanted = list(wanted.values())
    if isinstance(wanted, list):
        return not isinstance(found, Decimal) and [Decimal(one) for one in wanted] == list(found)
    return isinstance(found, Decimal) and Decimal(str(wanted)) == found
