"""Which name was meant: the closest of those that there are to one that there is not."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches

# From 0, nothing in common, to 1: a slip or another ending, and not just another word.
_ALIKE = 0.7
# Comparing is quadratic in the length, and whoever asks chose the name.
_LENGTH_MAX = 64


def closest(name: str, names: Iterable[str]) -> str | None:
    """The name itself, or the one of `names` that is most like it; None where none is like it."""
    known: Collection[str] = tuple(names)
    if name in known:
        return name
    return next(iter(get_close_matches(name[:_LENGTH_MAX], known, n=1, cutoff=_ALIKE)), None)


def closest_operation(name: str, operations: Iterable[str]) -> str | None:
    """The operation (`stock/adjust`) that was meant with `name`; None where there is none like it."""
    by_service: dict[str, list[str]] = {}
    for one in operations:
        service, _, operation = one.partition("/")
        by_service.setdefault(service, []).append(operation)
    service, _, operation = name.partition("/")
    # The service first: each of a few names is compared instead of each operation, which a caller may ask for at any rate.
    if (of := closest(service, by_service)) is None or (meant := closest(operation, by_service[of])) is None:
        return None
    return f"{of}/{meant}"
