"""`python -m tests.conformance [CASES]`: public suites against the product, one line a suite; exit 1 if any case is wrong.

CASES is a folder of public cases, which are not part of the product. A suite whose cases are not there is skipped, with a
line that says what is missing and where it is published; that is no failure.
"""

import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path

import msgspec

from billing.rate.cases import answer
from tests.conformance import address_cases, chinese_variants, pricing_reference
from tests.conformance.progress import shown


class Suite(msgspec.Struct, frozen=True):
    """A suite: what of CASES it reads, who publishes it, and what runs it on the folder around it.

    A suite that reads nothing has its cases from the product's own tables.
    """

    run: Callable[[Path], tuple[int, int]]
    reads: str | None = None
    published: str = ""


def pricing(folder: Path) -> tuple[int, int]:
    """Worked cases of other billing systems: right are those answered with the expected amount."""
    cases = msgspec.json.decode((folder / "worked.json").read_bytes())
    right = 0
    for case in shown("pricing", cases):
        found = answer(case)
        right += "amount" in found and Decimal(str(found["amount"])) == Decimal(case["expected_amount"])
    return right, len(cases)


_OTHER_SYSTEMS = "from documents and tests of other billing systems"
_OPENCAGE = "from github.com/OpenCageData/address-formatting"
_LIBADDRESSINPUT = "from github.com/google/libaddressinput"

SUITES: Mapping[str, Suite] = {
    "pricing": Suite(pricing, "pricing/worked.json", _OTHER_SYSTEMS),
    "pricing-reference": Suite(pricing_reference.run, "pricing/reference.json", _OTHER_SYSTEMS),
    "opencage": Suite(address_cases.opencage, "opencage-address-formatting/testcases", _OPENCAGE),
    "libaddressinput-postcodes": Suite(
        address_cases.postcodes, "libaddressinput/testdata/countryinfo.txt", _LIBADDRESSINPUT
    ),
    "libaddressinput-regions": Suite(
        address_cases.regions, "libaddressinput/testdata/countryinfo.txt", _LIBADDRESSINPUT
    ),
    "chinese-parse": Suite(chinese_variants.run),
}


def main(root: Path | None, suites: Mapping[str, Suite] = SUITES) -> int:
    """Run every suite whose cases are there, and say of the others why they are skipped."""
    failed = False
    for name, suite in suites.items():
        if (reason := _missing(suite, root)) is not None:
            print(f"{name} SKIPPED: {reason}")
            continue
        right, total = suite.run((root or Path()) / (suite.reads or "").partition("/")[0])
        print(f"{name} {right}/{total}", flush=True)
        failed |= right != total
    return 1 if failed else 0


def _missing(suite: Suite, root: Path | None) -> str | None:
    """Why a suite cannot be run, and what would help; None where it can."""
    if suite.reads is None:
        return None
    wanted = f"{suite.reads} ({suite.published})"
    if root is None:
        return f"no folder of cases is named: `make conformance CASES=folder`, with {wanted}"
    if not root.is_dir():
        return f"there is no folder {root}: `make conformance CASES=folder`, with {wanted}"
    if not (root / suite.reads).exists():
        return f"{root} has no {wanted}"
    return None


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
