"""Every Chinese county written in seven ways, through `address/parse`: the bar is 99.5 % exact codes, none wrong.

Right is the exact six-digit code; where the text alone cannot decide, `ambiguous` with the right place among the
candidates. Anything else that comes back as sure is silently wrong, of which there must be none.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import msgspec

from atomic_services.address.divisions import COUNTY, Unit, divisions
from atomic_services.address.schema import ParseReply
from tests.address_calls import answer
from tests.conformance.progress import shown

_DATA = files("atomic_services.address") / "data"
_STREETS = ("人民路1号", "文三路90号3幢2单元501室", "中山北路88号", "建设大街12号", "光明小区6栋")
LEAST_EXACT = 0.995


class Case(msgspec.Struct, frozen=True):
    """A text, the codes that are right for it, and the way it is written."""

    variant: str
    text: str
    codes: frozenset[str]


def _counties() -> list[Unit]:
    """The units that an address must come down to: counties, and cities without any."""
    known = divisions()
    return [
        unit
        for unit in known.units.values()
        if unit.level == COUNTY or (unit.parent is not None and unit.code not in known.divided)
    ]


def _path(unit: Unit) -> list[Unit]:
    path = [unit]
    while path[0].parent is not None:
        path.insert(0, path[0].parent)
    return path


def _rows(name: str) -> list[list[str]]:
    return [line.split("\t") for line in (_DATA / name).read_text(encoding="utf-8").splitlines()]


def cases() -> Iterator[Case]:
    """All of them, the same in each run."""
    readings = {name: given.split(",")[0] for name, given in _rows("pinyin.tsv")}
    traditional = {plain: variants[-1] for plain, variants in _rows("traditional.tsv")}
    writers: dict[str, Callable[[list[Unit], str], str]] = {
        "full name": lambda path, street: "".join(unit.name for unit in path) + street,
        "short name": lambda path, street: "".join(unit.short for unit in path) + street,
        "no province": lambda path, street: "".join(unit.name for unit in path[1:]) + street,
        "swapped order": lambda path, street: "".join([street, *(unit.name for unit in reversed(path))]),
        "traditional": lambda path, street: "".join(
            traditional.get(c, c) for unit in path for c in unit.name
        ) + street,
        "pinyin": lambda path, _: " ".join(readings[unit.name].title() for unit in path) + " Renmin Lu 1 Hao",
        "English": lambda path, _: ", ".join(
            ["1 Renmin Road", *(readings[unit.short].replace(" ", "").title() for unit in reversed(path))]
        ),
    }  # fmt: skip
    for unit in _counties():
        path = _path(unit)
        street = _STREETS[int(unit.code) % len(_STREETS)]
        for variant, write in writers.items():
            yield Case(variant, write(path, street), frozenset({unit.code}))
    yield from _former_names()


def _former_names() -> Iterator[Case]:
    units = divisions().units
    for code, name, _, _, _, successors in _rows("retired.tsv"):
        if code.endswith("00") or not successors:
            continue
        heir = units[successors.split(",")[0]]
        text = "".join(unit.name for unit in _path(heir)[:-1]) + name + "人民路1号"
        yield Case("former name", text, frozenset(successors.split(",")))


def judge(case: Case) -> str:
    """`exact`, `asked` (the right place is among the candidates), `missed` (says that it is unsure) or `wrong`."""
    reply = answer("parse", text=case.text)
    assert isinstance(reply, ParseReply)
    codes = {d.code for d in reply.divisions if d.level in ("city", "district")}
    if case.codes & codes and len(case.codes) == 1 and not reply.candidates:
        return "exact"
    offered = {candidate.code for candidate in reply.candidates}
    if reply.verdict == "ambiguous" and case.codes <= offered:
        return "asked"
    sure = reply.verdict in ("valid", "corrected")
    return "wrong" if sure else "missed"


def may_be_asked(case: Case) -> bool:
    """Whether the text leaves a choice: several heirs, or a name that units of several cities bear."""
    return len(case.codes) > 1 or case.variant in (
        "no province",
        "English",
        "pinyin",
        "short name",
        "former name",
    )


def sample(every: int) -> list[Case]:
    """A fixed part of the cases."""
    return [
        case
        for case in cases()
        if int.from_bytes(hashlib.sha256(case.text.encode()).digest()[:4], "big") % every == 0
    ]


def run(_folder: Path | None = None, chosen: Sequence[Case] | None = None) -> tuple[int, int]:
    """Right and all cases; the product's own tables are the cases, so there is no folder."""
    everything = list(cases()) if chosen is None else chosen
    right = 0
    for case in shown("chinese-parse", everything):
        judged = judge(case)
        right += judged == "exact" or (judged == "asked" and may_be_asked(case))
    return right, len(everything)
