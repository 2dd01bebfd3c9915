"""The countries of ISO 3166-1 alpha-2, as the time zone database lists them (`iso3166.tab`, public domain)."""

from functools import cache
from importlib import resources


def is_country(code: str) -> bool:
    """Whether `code` is one of the two-letter codes, in capitals: `CN`, and neither `cn` nor `ZZ`."""
    return code in _codes()


@cache
def _codes() -> frozenset[str]:
    table = resources.files("tzdata.zoneinfo").joinpath("iso3166.tab").read_text("utf-8")
    return frozenset(line.split("\t")[0] for line in table.splitlines() if line and not line.startswith("#"))
