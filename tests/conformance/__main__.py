"""`python -m tests.conformance CASES`: public suites against the product, one line a suite; exit 1 if any case is wrong.

CASES is a folder of public cases, which are not part of the product; a suite whose folder is not there is left out and
named.
"""

import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec

from billing.rate.cases import answer
from tests.conformance import address_cases, chinese_variants, pricing_reference
from tests.conformance.progress import shown


def pricing(folder: Path) -> tuple[int, int]:
    """Worked cases of other billing systems: right are those answered with the expected amount."""
    cases = msgspec.json.decode((folder / "worked.json").read_bytes())
    right = 0
    for case in shown("pricing", cases):
        found = answer(case)
        right += "amount" in found and Decimal(str(found["amount"])) == Decimal(case["expected_amount"])
    return right, len(cases)


# Name of the suite -> folder of its cases, and what runs them.
SUITES: dict[str, tuple[str, Callable[[Path], tuple[int, int]]]] = {
    "pricing": ("pricing", pricing),
    "pricing-reference": ("pricing", pricing_reference.run),
    "opencage": ("opencage-address-formatting", address_cases.opencage),
    "libaddressinput-postcodes": ("libaddressinput", address_cases.postcodes),
    "libaddressinput-regions": ("libaddressinput", address_cases.regions),
    "chinese-parse": (".", chinese_variants.run),
}


def main(root: Path) -> int:
    """Run every suite whose cases are there."""
    failed = False
    for name, (folder, run) in SUITES.items():
        if not (root / folder).is_dir():
            print(f"{name} SKIPPED: no folder {folder} under the cases")
            continue
        right, total = run(root / folder)
        print(f"{name} {right}/{total}", flush=True)
        failed |= right != total
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
