"""`python -m openapi.export`: write the contracts of the built-in services where they are committed and compared.

`latest.json` is the whole surface, `services/<service>.json` each service by itself. Whenever `latest.json` changes, the
new one is also kept under its date, so that what was promised on a day can still be read.
"""

import sys
from datetime import date
from pathlib import Path

import msgspec

from atomic_services import registry
from catalog.vocabulary.clock import SystemClock, from_ns
from gateway.control.api import ENDPOINTS
from gateway.control.contracts import is_public, service_document, whole_document

FOLDER = Path(__file__).parent


def contracts() -> dict[str, bytes]:
    """The documents by their path inside `openapi/`, as they are written to files."""
    passports, operations = registry.built_in_passports(), registry.operations()
    documents = {"latest.json": whole_document(passports, operations, ENDPOINTS)}
    for passport in passports:
        if is_public(passport):
            documents[f"services/{passport.service}.json"] = service_document(passport, operations)
    return {
        path: msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
        for path, document in documents.items()
    }


def export(folder: Path, today: date) -> list[str]:
    """Bring the folder up to the code; returns the paths that were written or removed."""
    wanted = contracts()
    latest = folder / "latest.json"
    if not latest.exists() or latest.read_bytes() != wanted["latest.json"]:
        wanted[f"{today.isoformat()}.json"] = wanted["latest.json"]
    changed = []
    for path, content in wanted.items():
        target = folder / path
        if not target.exists() or target.read_bytes() != content:
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(content)
            changed.append(path)
    for left in (folder / "services").glob("*.json"):
        path = f"services/{left.name}"
        if path not in wanted:
            left.unlink()
            changed.append(path)
    return changed


if __name__ == "__main__":
    written = export(FOLDER, from_ns(SystemClock().now_ns()).date())
    sys.stdout.write("\n".join(f"openapi/{path}" for path in written) + "\n" if written else "up to date\n")
