"""Who may import whom: the contracts of pyproject.toml hold, and no package is left out of them."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = {"atomic_services", "billing", "catalog", "deploy", "gateway", "openapi"}


def test_every_import_contract_holds() -> None:
    # In a process of its own: the linter configures logging anew, which would silence every logger of this one.
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    linted = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout


def test_every_package_is_covered_by_a_contract_with_a_reason() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert set(settings["root_packages"]) == PACKAGES
    covered: set[str] = set()
    for contract in settings["contracts"]:
        assert len(contract["name"]) > 30, "the name of a contract is its reason"
        for field in ("source_modules", "forbidden_modules", "modules", "containers"):
            covered |= {module.split(".")[0] for module in contract.get(field, ())}
    assert covered == PACKAGES


def test_every_service_is_held_apart_from_the_others() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    services = {
        f"atomic_services.{path.name}"
        for path in (ROOT / "atomic_services").iterdir()
        if (path / "passport.yaml").exists()
    }
    independent = next(one for one in settings["contracts"] if one["id"] == "services-stand-alone")
    free = next(one for one in settings["contracts"] if one["id"] == "services-are-free-of-http-and-prices")
    assert services == set(independent["modules"])
    assert services <= set(free["source_modules"])


def test_every_package_says_what_it_owns() -> None:
    for package in sorted(PACKAGES):
        assert (ROOT / package / "README.md").stat().st_size > 300, f"{package} needs a README"
