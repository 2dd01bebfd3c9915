"""What a reviewer looks at: where one document differs from another."""

from collections.abc import Iterator
from typing import Any

import msgspec


class Change(msgspec.Struct, frozen=True):
    """A value at a JSON pointer before and after; None where there is nothing."""

    pointer: str
    before: Any
    after: Any


def changes(before: Any, after: Any, pointer: str = "") -> Iterator[Change]:
    """The smallest values that differ, in document order; elements of arrays are compared by their place."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys((*before, *after)):
            # RFC 6901, section 3.
            escaped = name.replace("~", "~0").replace("/", "~1")
            yield from changes(before.get(name), after.get(name), f"{pointer}/{escaped}")
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            old = before[index] if index < len(before) else None
            new = after[index] if index < len(after) else None
            yield from changes(old, new, f"{pointer}/{index}")
    elif before != after:
        yield Change(pointer, before, after)
