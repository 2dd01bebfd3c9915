"""`python -m tests.conformance.focus`: the FOCUS export against the specification's own validator.

FOCUS_VALIDATOR_PYTHON names the interpreter of an environment that has `focus-validator` (Python 3.12 or later, so it is
not ours). It runs offline on the model that it brings. Its exit status says nothing, so its report is read.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

import asyncpg

from billing.focus.export import focus_rows
from billing.focus.files import FORMATS, write_rows
from billing.transaction import all_accounts
from deploy.roles import BILLING
from tests.databases import DatabaseServer
from tests.focus_books import NOVEMBER, OCTOBER, fill

VARIABLE = "FOCUS_VALIDATOR_PYTHON"
MODEL = "1.2.0.1"
# Both branches of an OR (null, or not null) are reported as if each were a rule; the rule above them passes.
KNOWN = frozenset({"InvoiceId-C-004-C", "InvoiceId-C-005-C"})
_VALIDATE_S = 300


def main() -> int:
    """Export a month of every kind of charge in both formats and have them judged; exit status 1 for any violation."""
    python = os.environ.get(VARIABLE)
    if not python:
        print(f"focus SKIPPED: {VARIABLE} names no Python with focus-validator")
        return 0
    failed = False
    with tempfile.TemporaryDirectory(prefix="ordergate-focus-") as folder:
        for path in _export(Path(folder)):
            judged, violated = validate(Path(python), path)
            print(f"focus-{path.suffix[1:]} {judged - len(violated)}/{judged}", flush=True)
            for rule in violated:
                print(f"  {rule}")
            failed |= bool(violated)
    return 1 if failed else 0


def validate(python: Path, data: Path) -> tuple[int, list[str]]:
    """How many of the model's rules were judged, and the names of those that are violated, but for the known ones."""
    found = subprocess.run(
        [
            python,
            "-c",
            "import focus_validator, pathlib; print(pathlib.Path(focus_validator.__file__).parents[1])",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    report = data.with_suffix(f"{data.suffix}.xml")
    # It opens a list of currencies relative to where it is installed.
    subprocess.run(
        [
            python,
            "-m",
            "focus_validator.main",
            "--data-file",
            data,
            "--validate-version",
            MODEL,
            "--block-download",
            "--output-type",
            "unittest",
            "--output-destination",
            report,
        ],
        cwd=found.stdout.strip(),
        capture_output=True,
        timeout=_VALIDATE_S,
        check=True,
    )
    judged, violated = 0, []
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - written by the validator, just now
        judged += case.find("skipped") is None
        rule = str(case.get("name")).partition(" ")[0]
        if case.find("failure") is not None and rule not in KNOWN:
            violated.append(rule)
    return judged, violated


def _export(folder: Path) -> list[Path]:
    server = DatabaseServer()
    try:
        server.start()
        return asyncio.run(_write(server, folder))
    finally:
        server.remove()


async def _write(server: DatabaseServer, folder: Path) -> list[Path]:
    await server.prepare()
    database = await server.create()
    admin = await asyncpg.connect(**database.admin())
    everyone = {"ordergate.account": "*"}
    async with asyncpg.create_pool(**database.as_role(BILLING, everyone), min_size=1, max_size=2) as pool:
        await fill(admin, pool)
        async with all_accounts(pool) as connection:
            rows = [
                row
                for period in (OCTOBER, NOVEMBER)
                for row in await focus_rows(connection, period, "live", "Chengchuan Group")
            ]
    await admin.close()
    written = [folder / f"focus{form}" for form in FORMATS]
    for path in written:
        write_rows(rows, path)
    return written


if __name__ == "__main__":
    sys.exit(main())
