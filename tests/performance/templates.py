"""The peers' configurations: files with `@NAME@` places, filled in for one run."""

import re
from collections.abc import Mapping
from pathlib import Path

PEERS = Path(__file__).parent / "peers"
_PLACE = re.compile(r"@([A-Z_]+)@")


def fill(template: str, values: Mapping[str, object]) -> str:
    """The text with every place filled; ValueError if a place has no value or a value no place."""
    places = set(_PLACE.findall(template))
    if places != set(values):
        raise ValueError(f"places and values differ: {sorted(places ^ set(values))}")
    return _PLACE.sub(lambda match: str(values[match[1]]), template)


def write_filled(name: str, folder: Path, values: Mapping[str, object]) -> Path:
    """The configuration `peers/<name>`, filled in, as a file in `folder`."""
    path = folder / name
    path.write_text(fill((PEERS / name).read_text("utf-8"), values), "utf-8")
    return path
