"""`python -m tests.conformance CASES`: public suites against the product, one line a suite; exit 1 if any case is wrong.

CASES is a folder of public cases, which are not part of the product; a suite whose folder is not there is left out and
named.
"""

import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import track

from billing.rate.cases import answer


def pricing(folder: Path) -> tuple[int, int]:
    """Worked cases of other billing systems: right are those answered with the expected amount."""
    cases = msgspec.json.decode((folder / "worked.json").read_bytes())
    right = 0
    for case in track(cases, "pricing", console=Console(stderr=True), disable=not sys.stderr.isatty()):
        found = answer(case)
        right += "amount" in found and Decimal(str(found["amount"])) == Decimal(case["expected_amount"])
    return right, len(cases)


SUITES: dict[str, Callable[[Path], tuple[int, int]]] = {"pricing": pricing}


def main(root: Path) -> int:
    """Run every suite whose cases are there."""
    failed = False
    for name, run in SUITES.items():
        if not (root / name).is_dir():
            print(f"{name} SKIPPED: no folder {name} under the cases")
            continue
        right, total = run(root / name)
        print(f"{name} {right}/{total}", flush=True)
        failed |= right != total
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
