"""Which warehouse serves which line: pure, and the same answer for the same stock."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from atomic_services.stock.schema import Line

# (SKU, warehouse); also the order in which rows are locked.
Key = tuple[str, str]


class Share(Struct, frozen=True):
    """Units of one line, named by its position in the request, in one warehouse."""

    position: int
    sku: str
    warehouse: str
    quantity: int


class Allotment(Struct, frozen=True):
    """What the lines get, by position and warehouse, and what is left of each key afterwards."""

    shares: tuple[Share, ...]
    left: Mapping[Key, int]

    def obtainable(self, lines: Sequence[Line]) -> list[int]:
        """For each line, the most it could have: its own shares and what is left in the warehouses it allows."""
        obtained: Counter[int] = Counter()
        for share in self.shares:
            obtained[share.position] += share.quantity
        return [
            obtained[position]
            + sum(
                rest
                for (sku, name), rest in self.left.items()
                if sku == line.sku and line.warehouse in (None, name)
            )
            for position, line in enumerate(lines)
        ]


class Drawn(Struct, frozen=True):
    """How much is taken from each held share, and the index of the first line that asks for more than is held."""

    quantities: tuple[int, ...]
    short: int | None


def allot(lines: Sequence[Line], available: Mapping[Key, int]) -> Allotment:
    """Give every line as much as there is, never more than it asks for or than a warehouse has.

    Lines that name their warehouse come first, since they have no choice. The others are served by one warehouse if
    one can serve them all, and otherwise line by line from the fullest one down; ties go by name. Whenever all lines
    together can be served in full, they are.
    """
    left = dict(available)
    fixed, open_ = _by_choice(lines)
    shares = [share for position, line in fixed for share in _take(position, line, [line.warehouse], left)]
    home = _one_for_all([line for _, line in open_], left)
    for position, line in open_:
        choice = [home] if home is not None else _fullest_first(line.sku, left)
        shares.extend(_take(position, line, choice, left))
    shares.sort(key=lambda share: (share.position, share.warehouse))
    return Allotment(tuple(shares), left)


def draw(lines: Sequence[Line], held: Sequence[Share]) -> Drawn:
    """Split a partial confirmation over the held shares, in their order; lines that name a warehouse come first."""
    left = [share.quantity for share in held]
    short: int | None = None
    fixed, open_ = _by_choice(lines)
    for index, line in fixed + open_:
        wanted = line.quantity
        for place, share in enumerate(held):
            if share.sku == line.sku and line.warehouse in (None, share.warehouse):
                taken = min(wanted, left[place])
                left[place] -= taken
                wanted -= taken
        if wanted and short is None:
            short = index
    return Drawn(tuple(share.quantity - rest for share, rest in zip(held, left, strict=True)), short)


def _by_choice(lines: Sequence[Line]) -> tuple[list[tuple[int, Line]], list[tuple[int, Line]]]:
    fixed = [(position, line) for position, line in enumerate(lines) if line.warehouse is not None]
    open_ = [(position, line) for position, line in enumerate(lines) if line.warehouse is None]
    return fixed, open_


def _take(
    position: int, line: Line, warehouses: Iterable[str | None], left: dict[Key, int]
) -> Iterator[Share]:
    wanted = line.quantity
    for warehouse in warehouses:
        assert warehouse is not None
        taken = min(wanted, left.get((line.sku, warehouse), 0))
        if taken > 0:
            left[line.sku, warehouse] -= taken
            wanted -= taken
            yield Share(position, line.sku, warehouse, taken)


def _fullest_first(sku: str, left: Mapping[Key, int]) -> list[str]:
    return sorted((name for key, name in left if key == sku), key=lambda name: (-left[sku, name], name))


def _one_for_all(lines: Sequence[Line], left: Mapping[Key, int]) -> str | None:
    wanted: Counter[str] = Counter()
    for line in lines:
        wanted[line.sku] += line.quantity
    able = [
        warehouse
        for warehouse in {warehouse for _, warehouse in left}
        if all(left.get((sku, warehouse), 0) >= quantity for sku, quantity in wanted.items())
    ]
    return min(able, key=lambda name: (-sum(left[sku, name] for sku in wanted), name), default=None)
