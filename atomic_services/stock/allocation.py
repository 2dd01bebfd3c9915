"""Which warehouse serves which line: pure, and the same answer for the same stock."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from atomic_services.stock.fields import Line
from atomic_services.stock.sourcing import Choice, Key, Sourcing, choose, fullest_first

_NAMED = Choice((), "Every line names its warehouse.")


class Share(Struct, frozen=True):
    """Units of one line, named by its position in the request, in one warehouse."""

    position: int
    sku: str
    warehouse: str
    quantity: int


class Allotment(Struct, frozen=True):
    """What the lines get, by position and warehouse, what is left of each key afterwards, and why those warehouses."""

    shares: tuple[Share, ...]
    left: Mapping[Key, int]
    why: str

    @property
    def units(self) -> int:
        """All that the lines get."""
        return sum(share.quantity for share in self.shares)

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

    def at_most(self, units: int) -> "Allotment":
        """The same for no more than so many units: later lines go without first."""
        kept, left = [], dict(self.left)
        for share in self.shares:
            quantity = min(share.quantity, units)
            units -= quantity
            left[share.sku, share.warehouse] += share.quantity - quantity
            if quantity:
                kept.append(Share(share.position, share.sku, share.warehouse, quantity))
        return Allotment(tuple(kept), left, self.why)


class Drawn(Struct, frozen=True):
    """How much is taken from each held share, and the index of the first line that asks for more than is held."""

    quantities: tuple[int, ...]
    short: int | None


def allot(lines: Sequence[Line], available: Mapping[Key, int], sourcing: Sourcing) -> Allotment:
    """Give every line as much as there is, never more than it asks for or than a warehouse has.

    Lines that name their warehouse come first, since they have no choice; the others are served as the account's
    rule says. Whenever all lines together can be served in full, they are.
    """
    left = dict(available)
    fixed, open_ = _by_choice(lines)
    shares = [share for position, line in fixed for share in _take(position, line, [line.warehouse], left)]
    choice = choose(sourcing, _wanted(open_), left) if open_ else _NAMED
    for position, line in open_:
        places = fullest_first(sourcing, line.sku, left)
        if choice.warehouses is not None:
            places = [name for name in places if name in choice.warehouses]
        shares.extend(_take(position, line, places, left))
    shares.sort(key=lambda share: (share.position, share.warehouse))
    return Allotment(tuple(shares), left, choice.why)


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


def _wanted(lines: Sequence[tuple[int, Line]]) -> Mapping[str, int]:
    wanted: Counter[str] = Counter()
    for _, line in lines:
        wanted[line.sku] += line.quantity
    return wanted


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
