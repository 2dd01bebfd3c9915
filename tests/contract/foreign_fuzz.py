"""Somebody else's idea of bad input: Schemathesis against a running product, by the contracts that it is served with.

    python -m tests.contract.foreign_fuzz --tool .tools/fuzz/bin/schemathesis --seed 1

The product is started with an account that has no limits; Schemathesis reads openapi/services/*.json and judges each reply
by them: no server error, only documented statuses, headers and bodies, what breaks the schema refused, what
keeps it accepted. Then the books must agree. Exit status 1 where either is not so; what failed is printed with its seed.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.faults.product import Product

ROOT = Path(__file__).parents[2]
SETTINGS = Path(__file__).with_name("schemathesis.toml")
SERVICES = ("address", "stock")


def main() -> int:
    """Fuzz both families; 0 when nothing failed and the books agree."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="ordergate-fuzz-") as folder:
        product = Product(Path(folder))
        (credential, *_) = product.prepare("fuzzed")
        try:
            product.start()
            failed = [
                service for service in arguments.service if _fuzz(product, credential.key, service, arguments)
            ]
            print(product.run("reconcile"))
        finally:
            product.end()
    print(f"FAIL  {', '.join(failed)}" if failed else "PASS")
    return 1 if failed else 0


def _fuzz(product: Product, key: str, service: str, arguments: argparse.Namespace) -> int:
    """The exit status of Schemathesis on one family."""
    print(f"== {service}", flush=True)
    command = [
        arguments.tool.absolute(),
        "--config-file",
        SETTINGS,
        "run",
        ROOT / "openapi" / "services" / f"{service}.json",
    ]
    options = ["--url", product.url, "--header", f"Authorization:Bearer {key}", "--seed", str(arguments.seed)]
    options += ["--max-examples", str(arguments.examples), "--workers", "2", "--no-color"]
    return subprocess.run([*command, *options], cwd=product.home.path, check=False).returncode


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="foreign_fuzz")
    parser.add_argument("--tool", type=Path, required=True, help="the schemathesis to run")
    parser.add_argument("--service", nargs="+", choices=SERVICES, default=SERVICES)
    parser.add_argument("--examples", type=int, default=200, help="of each operation and phase at most")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
