"""Finds telephone numbers and postal codes in a pasted text.

China's numbering plan: mobiles have 11 digits and begin with 13 to 19, area codes with 0; 400 and 800 are service
numbers. Numbers of other plans are found by their `+`, behind a label, or as the country writes them. All are judged by
`phonenumbers` (Apache-2.0, Google's libphonenumber).
"""

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec
import phonenumbers

from atomic_services.address.schema import Phone

_EXTENSION = (
    r"(?:(?:\s?(?:(?:转|轉|分机|分機|ext\.?|x|#)\s?|-|\[)(?P<extension>\d{1,6})\]?(?!\d)"
    r"|,(?P<dialled>\d{3,4})(?=[\s,;]|$)))?"
)
_COUNTRY = r"(?:[(]?(?:\+|00)?\s?86[)]?[\s-]{0,2})"
_Kind = Literal["mobile", "landline", "service"]
_PLAN: tuple[tuple[_Kind, str], ...] = (
    ("mobile", rf"(?<![\d+]){_COUNTRY}?(?P<local>1[3-9]\d(?:[\s.-]?\d){{8}})(?!\d)"),
    (
        "landline",
        rf"(?<![\d+-])(?:{_COUNTRY}[(]?0?|[(]?0)(?P<area>10|2\d|[3-9]\d{{2}})[)]?[\s-]{{0,2}}"
        r"(?P<local>[1-9]\d{2,3}[\s-]?\d{4})(?!\d)",
    ),
    ("service", r"(?<![\d+-])(?P<local>[48]00(?:[\s-]?\d){7})(?!\d)"),
)
_CHINESE = tuple((kind, re.compile(form + _EXTENSION, re.ASCII | re.IGNORECASE)) for kind, form in _PLAN)
_INTERNATIONAL = re.compile(r"(?<![\d+])(?:\+|00)\s?[1-9](?:[\s().-]{0,2}\d){6,14}(?!\d)", re.ASCII)
_DIGITS = re.compile(r"\s{0,3}[(]?\d(?:[\s().-]{0,2}\d){4,14}(?!\d)", re.ASCII)
_NATIONAL = re.compile(r"(?<![\w+.-])[(]?\d(?:[\s().-]{0,2}\d){6,13}(?!\w)", re.ASCII)
_HOUSE = "号號室弄栋棟幢楼樓房层層座单單米#"
_POSTAL_CODE = re.compile(rf"(?<![\d+-])\d{{6}}(?![\d{_HOUSE}]|-|\s[{_HOUSE}])", re.ASCII)
_NUMBERS_MAX = 5
_CANDIDATES_MAX = 20


class Found(msgspec.Struct, frozen=True):
    """A telephone number and its place in the text."""

    start: int
    end: int
    phone: Phone


def find_phones(text: str, country: str | None, labelled: Iterable[int] = ()) -> list[Found]:
    """At most five numbers in the order of the text; `labelled` are the positions behind labels such as 电话:."""
    found: list[Found] = []
    for candidate in (
        *_mainland(text, country),
        *_labelled(text, country, labelled),
        *_abroad(text, country),
    ):
        if all(candidate.end <= f.start or f.end <= candidate.start for f in found):
            found.append(candidate)
            if len(found) == _NUMBERS_MAX:
                break
    return sorted(found, key=lambda f: f.start)


def _mainland(text: str, country: str | None) -> Iterator[Found]:
    if country not in (None, "CN"):
        return
    for kind, expression in _CHINESE:
        for match in itertools.islice(expression.finditer(text), _CANDIDATES_MAX):
            local = re.sub(r"\D", "", match["local"])
            if kind == "landline":
                local = f"0{match['area']}-{local}"
            elif kind == "service":
                local = f"{local[:3]}-{local[3:6]}-{local[6:]}"
            parsed = phonenumbers.parse(local, "CN")
            phone = Phone(
                number=local,
                given=match[0].strip(),
                kind=kind,
                e164=phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164),
                status="confirmed" if phonenumbers.is_valid_number(parsed) else "unconfirmed",
                extension=match["extension"] or match["dialled"],
            )
            yield Found(match.start(), match.end(), phone)


def _labelled(text: str, country: str | None, positions: Iterable[int]) -> Iterator[Found]:
    """What stands behind a label is a number even where the plan of the country does not know it."""
    for position in itertools.islice(positions, _NUMBERS_MAX):
        match = _DIGITS.match(text, position)
        phone = _read(match[0], country or "CN") if match is not None else None
        if match is None or phone is None:
            continue
        if phone.status == "unconfirmed" and country in (None, "CN"):
            # A local number without its area code is dialled as it stands.
            phone = msgspec.structs.replace(phone, number=re.sub(r"\D", "", match[0]))
        yield Found(match.start(), match.end(), phone)


def _abroad(text: str, country: str | None) -> Iterator[Found]:
    expressions = (_INTERNATIONAL,) if country in (None, "CN") else (_INTERNATIONAL, _NATIONAL)
    for expression in expressions:
        for match in itertools.islice(expression.finditer(text), _CANDIDATES_MAX):
            # 千代田1-1 03-3211-1111: the number of a house may stand before it.
            for start in (match.start(), *_behind_blank(match)):
                given = text[start : match.end()]
                phone = _read(re.sub("^00", "+", given) if expression is _INTERNATIONAL else given, country)
                if phone is not None and phone.status == "confirmed":
                    yield Found(start, match.end(), msgspec.structs.replace(phone, given=given.strip()))
                    break


def _behind_blank(match: re.Match[str]) -> tuple[int, ...]:
    blank = match[0].find(" ")
    return (match.start() + blank + 1,) if blank > 0 else ()


def _read(digits: str, country: str | None) -> Phone | None:
    try:
        parsed = phonenumbers.parse(digits, country)
    except phonenumbers.NumberParseException:
        return None
    number = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    return Phone(
        number=number,
        given=digits.strip(),
        kind="other",
        e164=number,
        status="confirmed" if phonenumbers.is_valid_number(parsed) else "unconfirmed",
    )


def find_postal_code(
    text: str, labelled: int | None, prefixes: frozenset[str] | None
) -> tuple[int, int] | None:
    """The place of a Chinese postal code: behind its label, or six digits that fit the province.

    `prefixes` are the first two digits of the province's codes; None where the province is not known, when six
    digits in a field of their own are one.
    """
    if labelled is not None and (behind := re.compile(r"\s{0,3}\d{6}(?!\d)", re.ASCII).match(text, labelled)):
        return behind.end() - 6, behind.end()
    for match in _POSTAL_CODE.finditer(text):
        apart = _is_gap(text, match.start() - 1) and _is_gap(text, match.end())
        if apart if prefixes is None else match[0][:2] in prefixes:
            return match.span()
    return None


def _is_gap(text: str, position: int) -> bool:
    return (
        not 0 <= position < len(text)
        or text[position] in " ,;\n，；。"
        or "\ue000" <= text[position] <= "\uf8ff"
    )
