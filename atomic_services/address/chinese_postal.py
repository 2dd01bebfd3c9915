"""Which Chinese cities the first three digits of a postal code, the postal area, belong to.

Source: the example code of every district in the postal metadata, by the district's names of its time and today's.
"""

import functools

from atomic_services.address import reference
from atomic_services.address.divisions import ABOLISHED, PROVINCE, Entry, Unit, divisions

_AREA_DIGITS = 3
_DEPTH = 2  # of a path that names at least a city below its province


def may_have(city: str, postal_code: str) -> bool:
    """Whether a city, by its GB/T 2260 code, may have the code: False only where other cities are known to have the
    postal area and this one is known to have others."""
    cities = cities_by_area()
    here = cities.get(postal_code[:_AREA_DIGITS])
    return not here or city in here or not any(city in others for others in cities.values())


@functools.cache
def cities_by_area() -> dict[str, frozenset[str]]:
    """First three digits -> codes of the cities that have them; read once, about 40 ms."""
    found: dict[str, set[str]] = {}
    for path, entry in reference.load("CN").items():
        names = path.split("/")[1:]
        examples = entry.get("zipex", "")
        if len(names) < _DEPTH or not examples or "--" in path:
            continue
        cities = {unit.code for unit in _cities_of(names)}
        for example in examples.split(","):
            found.setdefault(example[:_AREA_DIGITS], set()).update(cities)
    return {area: frozenset(cities) for area, cities in found.items()}


def _cities_of(names: list[str]) -> set[Unit]:
    """The cities of today that a path of names, which may be former ones, leads to; more rather than fewer."""
    within = [entry.unit for entry in divisions().find(names[0]) if entry.level == PROVINCE]
    for name in names[1:]:
        units = [unit for entry in divisions().find(name) for unit in _today(entry)]
        below = [unit for unit in units if any(unit.within(above) for above in within)]
        within = below or within
    cities = {unit.slots()[1] for unit in within}
    return {city for city in cities if city is not None}


def _today(entry: Entry) -> tuple[Unit, ...]:
    if entry.grade == ABOLISHED and entry.retired is not None:
        return entry.retired.successors
    return (entry.unit,)
