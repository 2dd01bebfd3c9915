"""Traditional Chinese characters as simplified ones, for comparing and never for writing.

Source: data/traditional.tsv, baked from the character tables of OpenCC (Apache-2.0) by data/build_spellings.py.
One character becomes one character, so positions in a text stay what they were. 乾 becomes 干 on both sides of a
comparison, which makes 乾县 findable and harms nothing.
"""

import functools
from importlib.resources import files

from atomic_services.address.text import fold

_TABLE = files("atomic_services.address") / "data" / "traditional.tsv"


@functools.cache
def _table() -> dict[int, str]:
    rows = (line.split("\t") for line in _TABLE.read_text(encoding="utf-8").splitlines())
    return {ord(variant): simplified for simplified, variants in rows for variant in variants}


def simplify(value: str) -> str:
    """The same text with simplified characters; the length does not change."""
    return value if value.isascii() else value.translate(_table())


def fold_chinese(value: str) -> str:
    """The form in which Chinese names are compared: `fold`, and simplified."""
    return simplify(fold(value))
