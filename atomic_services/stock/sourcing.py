"""In which order warehouses are asked, and which of them together serve an order: pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal

from msgspec import Struct

# (SKU, warehouse); also the order in which rows are locked.
Key = tuple[str, str]
Rule = Literal["single_warehouse", "fewest_splits", "priority"]

# Every set of up to so many of the so many best-ranked warehouses is tried; beyond that, the fullest one comes next.
_SET_MAX = 3
_TRIED_MAX = 12


class Sourcing(Struct, frozen=True):
    """An account's rule, and its warehouses in the order it prefers them; those that it does not name come last."""

    rule: Rule = "single_warehouse"
    priority: tuple[str, ...] = ()

    def rank(self, warehouse: str) -> int:
        """Its place in the list."""
        return self.priority.index(warehouse) if warehouse in self.priority else len(self.priority)


class Choice(Struct, frozen=True):
    """Warehouses in the order in which they are asked; None stands for all, by rank and then the fullest. And why."""

    warehouses: tuple[str, ...] | None
    why: str


def choose(sourcing: Sourcing, wanted: Mapping[str, int], left: Mapping[Key, int]) -> Choice:
    """The warehouses for these units by SKU; equal stock and equal rules give equal answers."""
    if sourcing.rule == "priority":
        listed = ", ".join(sourcing.priority) or "none"
        return Choice(None, f"Warehouses in the order of the owner's list ({listed}), then the fullest.")
    names = _ranked(sourcing, wanted, left)
    sizes = range(1, 2 if sourcing.rule == "single_warehouse" else _SET_MAX + 1)
    for size in sizes:
        for chosen in combinations(names if size == 1 else names[:_TRIED_MAX], size):
            if _serve(chosen, wanted, left):
                return Choice(chosen, _explained(chosen))
    if sourcing.rule == "fewest_splits" and (greedy := _greedily(names, wanted, left)) is not None:
        return Choice(
            greedy, f"Few warehouses that have all of it, the most helpful first: {', '.join(greedy)}."
        )
    return Choice(None, "No single warehouse has everything: line by line from the fullest.")


def fullest_first(sourcing: Sourcing, sku: str, left: Mapping[Key, int]) -> list[str]:
    """The warehouses of a SKU by rank, then by what they have left, then by name."""
    names = [name for key, name in left if key == sku]
    return sorted(names, key=lambda name: (sourcing.rank(name), -left[sku, name], name))


def _explained(chosen: Sequence[str]) -> str:
    if len(chosen) == 1:
        return f"{chosen[0]} has everything."
    return f"No fewer than these {len(chosen)} warehouses have everything: {', '.join(chosen)}."


def _ranked(sourcing: Sourcing, wanted: Mapping[str, int], left: Mapping[Key, int]) -> list[str]:
    stock: Counter[str] = Counter()
    for (sku, name), units in left.items():
        if sku in wanted:
            stock[name] += units
    return sorted(stock, key=lambda name: (sourcing.rank(name), -stock[name], name))


def _serve(chosen: Sequence[str], wanted: Mapping[str, int], left: Mapping[Key, int]) -> bool:
    return all(sum(left.get((sku, name), 0) for name in chosen) >= units for sku, units in wanted.items())


def _greedily(
    names: Sequence[str], wanted: Mapping[str, int], left: Mapping[Key, int]
) -> tuple[str, ...] | None:
    missing, chosen = dict(wanted), list[str]()
    while missing:
        gains = {
            name: sum(min(units, left.get((sku, name), 0)) for sku, units in missing.items())
            for name in names
            if name not in chosen
        }
        best = max(gains, key=lambda name: gains[name], default=None)
        if best is None or not gains[best]:
            return None
        chosen.append(best)
        missing = {
            sku: rest for sku, units in missing.items() if (rest := units - left.get((sku, best), 0)) > 0
        }
    return tuple(chosen)
