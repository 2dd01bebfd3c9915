"""The peppers under which key digests are computed: a versioned file that only this installation's user can read."""

import os
import secrets
from pathlib import Path

import msgspec

_PEPPER_BYTES = 32


def pepper_file(home: Path) -> Path:
    """Where they are kept."""
    return home / "secrets" / "pepper.json"


def load_peppers(home: Path) -> dict[int, bytes]:
    """Version -> 256-bit pepper. The first start makes version 1; a rotation adds a version and keeps the old ones.

    ValueError for a file that does not hold that.
    """
    path = pepper_file(home)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        _create(path, {1: secrets.token_bytes(_PEPPER_BYTES)})
    stored = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    peppers = {int(version): bytes.fromhex(pepper) for version, pepper in stored.items()}
    if not peppers or any(len(pepper) != _PEPPER_BYTES for pepper in peppers.values()):
        raise ValueError("it holds a pepper of 256 bits for each version, and at least one")
    return peppers


def _create(path: Path, peppers: dict[int, bytes]) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode({str(version): pepper.hex() for version, pepper in peppers.items()}))
        file.flush()
        os.fsync(file.fileno())
    # A link fails where the file exists, so of two first starts one wins and both read the same pepper.
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
