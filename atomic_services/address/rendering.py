"""Fills a template with components and puts the punctuation in order.

A template is text with `{{{component}}}` and `{{#first}} a || b {{/first}}`, the first alternative that is not
empty; nothing else of Mustache is known here, and a value is never read as a template.
"""

import re
from collections.abc import Iterable, Mapping

import msgspec

_TAG = re.compile(r"\{\{#first\}\}(.*?)\{\{/first\}\}|\{\{\{(\w+)\}\}\}", re.DOTALL)
_NOT_DEDUPLICATED = "new york"
# Order matters: separators that stand beside nothing go first, then white space, then empty lines.
_TIDYING = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        # Map data has apostrophes as they are written for a page.
        (r"&#39;", "'"),
        (r"[},\s]+\Z", ""),
        (r"\A[,\s]+", ""),
        (r"\A- ", ""),
        (r",\s*,", ", "),
        (r"[ \t]+,[ \t]+", ", "),
        (r"[ \t]{2,}", " "),
        (r"[ \t]\n", "\n"),
        (r"\n,", "\n"),
        (r",,+", ","),
        (r",\n", "\n"),
        (r"\n[ \t]+", "\n"),
        (r"\n\n+", "\n"),
    )
)


class Slot(msgspec.Struct, frozen=True):
    """The place of a component."""

    name: str


class First(msgspec.Struct, frozen=True):
    """The place of the first of several texts that is not empty."""

    alternatives: "tuple[Template, ...]"


Template = tuple[str | Slot | First, ...]


def template_of(text: str) -> Template:
    """The parts of a template. Raises `ValueError` for any tag that is not known here."""
    parts: list[str | Slot | First] = []
    position = 0
    for match in _TAG.finditer(text):
        parts.append(text[position : match.start()])
        if match[2]:
            parts.append(Slot(match[2]))
        else:
            parts.append(First(tuple(template_of(alternative) for alternative in match[1].split("||"))))
        position = match.end()
    parts.append(text[position:])
    literal = "".join(part for part in parts if isinstance(part, str))
    if "{" in literal or "}" in literal:
        raise ValueError(f"unknown tag in template: {literal!r}")
    return tuple(part for part in parts if part)


def fill(template: Template, values: Mapping[str, str]) -> str:
    """The template with its places filled; absent components leave nothing."""
    text = ""
    for part in template:
        if isinstance(part, str):
            text += part
        elif isinstance(part, Slot):
            text += values.get(part.name, "")
        else:
            text += next(filter(None, (fill(one, values).strip() for one in part.alternatives)), "")
    return text


def tidy(text: str) -> str:
    """Without separators that separate nothing, without repeated lines and without repeats within a line."""
    for pattern, replacement in _TIDYING:
        text = pattern.sub(replacement, text)
    lines = dict.fromkeys(line.strip(" \t") for line in text.split("\n"))
    return "\n".join(", ".join(distinct(_words(line))) for line in lines).strip()


def _words(line: str) -> list[str]:
    return [word.strip(" \t") for word in line.split(",")]


def distinct(texts: Iterable[str]) -> list[str]:
    """Each text of a line once, in order. New York, New York is a city in its state and no repetition."""
    seen: set[str] = set()
    result = []
    for text in texts:
        if text not in seen or text.lower() == _NOT_DEDUPLICATED:
            seen.add(text)
            result.append(text)
    return result
