"""What the demo group's plan charges and costs, operation by operation, also of services that are still to come."""

from collections.abc import Mapping
from typing import Any


def _per_unit(price: str) -> tuple[str, Mapping[str, Any]]:
    return "per_unit", {"unit_price": price}


def _package(size: str, price: str) -> tuple[str, Mapping[str, Any]]:
    return "package", {"package_size": size, "package_price": price}


def _tiers(model: str, *tiers: tuple[str | None, str]) -> tuple[str, Mapping[str, Any]]:
    return model, {
        "tiers": [{"up_to": bound, "unit_price": price, "flat_fee": "0"} for bound, price in tiers]
    }


# What each operation is to cost inside the group and outside, also of services that are still to come.
PRICES: Mapping[str, tuple[tuple[str, Mapping[str, Any]], tuple[str, Mapping[str, Any]]]] = {
    "address/validate": (_per_unit("0.055"), _per_unit("0.080")),
    "address/normalise": (_per_unit("0.030"), _per_unit("0.050")),
    "address/parse": (_per_unit("0.060"), _per_unit("0.090")),
    "address/suggest": (_package("100", "0.90"), _package("100", "1.20")),
    "address/format": (_per_unit("0.005"), _per_unit("0.008")),
    "stock/availability": (_per_unit("0.010"), _per_unit("0.015")),
    "stock/reserve": (_per_unit("0.065"), _per_unit("0.090")),
    "stock/extend": (_per_unit("0.010"), _per_unit("0.015")),
    "stock/confirm": (_per_unit("0.045"), _per_unit("0.060")),
    "stock/release": (_per_unit("0"), _per_unit("0")),
    "stock/adjust": (_per_unit("0.010"), _per_unit("0.015")),
    "stock/movements": (_per_unit("0.010"), _per_unit("0.015")),
    "stock/replenish": (_package("10", "1.20"), _package("10", "1.60")),
    "customs/check": (
        _tiers("graduated", ("50", "3.60"), ("200", "3.40"), (None, "3.20")),
        _tiers("graduated", ("20", "4.90"), ("100", "4.60"), (None, "4.20")),
    ),
    "customs/classify": (_per_unit("0.90"), _per_unit("1.20")),
    "customs/screen": (_per_unit("0.35"), _per_unit("0.45")),
    "customs/requirements": (_per_unit("0.25"), _per_unit("0.30")),
    "customs/certificate": (_per_unit("14.00"), _per_unit("18.00")),
    "invoice/issue": (
        _tiers("volume", ("100", "0.22"), ("400", "0.20"), (None, "0.18")),
        _tiers("volume", ("20", "0.28"), ("100", "0.25"), (None, "0.22")),
    ),
    "invoice/validate": (_per_unit("0.050"), _per_unit("0.080")),
    "invoice/convert": (_per_unit("0.060"), _per_unit("0.090")),
    "invoice/correct": (_per_unit("0.30"), _per_unit("0.40")),
}

# What a call costs the unit that answers it, and what the platform that all share costs in a month.
UNIT_COSTS: Mapping[str, str] = {
    "address/validate": "0.032",
    "address/normalise": "0.020",
    "address/parse": "0.040",
    "address/suggest": "0.006",
    "address/format": "0.003",
    "stock/availability": "0.006",
    "stock/reserve": "0.038",
    "stock/extend": "0.006",
    "stock/confirm": "0.026",
    "stock/release": "0.012",
    "stock/adjust": "0.006",
    "stock/movements": "0.006",
    "stock/replenish": "0.110",
    "customs/check": "2.30",
    "customs/classify": "0.60",
    "customs/screen": "0.22",
    "customs/requirements": "0.14",
    "customs/certificate": "8.50",
    "invoice/issue": "0.112",
    "invoice/validate": "0.035",
    "invoice/convert": "0.042",
    "invoice/correct": "0.20",
}
SHARED_COST_OF_A_MONTH = "202.00"
