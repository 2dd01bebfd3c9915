"""The two operations: one way through an address, with or without judging it."""

from typing import TypeVar

import msgspec

from atomic_services.address import (
    chinese_reading,
    divisions,
    locode_naming,
    locodes,
    postal,
    reference,
    regions,
)
from atomic_services.address.findings import RULES, conclude, finding
from atomic_services.address.format import formatted
from atomic_services.address.reading import DEPENDENT, DIVISIONS, Reading
from atomic_services.address.reference import CountryRules, countries, rules_of
from atomic_services.address.schema import (
    LINE_LENGTH_MAX,
    NAME_LENGTH_MAX,
    POSTAL_CODE_LENGTH_MAX,
    SORTING_CODE_LENGTH_MAX,
    Address,
    Component,
    Finding,
    NormaliseReply,
    NormaliseRequest,
    Status,
    ValidateReply,
    ValidateRequest,
)
from atomic_services.address.text import clean
from atomic_services.contract import CallContext
from catalog.vocabulary.problem import CallerFault, FieldError

_PLAIN = ("recipient", "organization", *DIVISIONS, "sorting_code")
_ORDER = (
    "recipient",
    "organization",
    "lines",
    DEPENDENT,
    "locality",
    "administrative_area",
    "postal_code",
    "sorting_code",
)
Reply = TypeVar("Reply", bound=ValidateReply)


async def validate(request: ValidateRequest, _context: CallContext) -> ValidateReply:
    """Is this address complete and right, and what should be changed? A bad address is an answer, not an error.

    Raises `CallerFault` unsupported-country for a country that the reference data does not know, and invalid-input
    for a text that is too long in its normal form.
    """
    return answer(request, ValidateReply, judging=True)


async def normalise(request: NormaliseRequest, _context: CallContext) -> NormaliseReply:
    """The canonical form of an address; findings and verdict name only what was changed, assumed or left open.

    Raises `CallerFault` unsupported-country for a country that the reference data does not know, and invalid-input
    for a text that is too long in its normal form.
    """
    return answer(request, NormaliseReply, judging=False)


def answer(request: Address, reply: type[Reply], *, judging: bool) -> Reply:
    """The way through an address that every operation with a judgement shares; `judging` as in `RULES`.

    Raises `CallerFault` unsupported-country and, for a text too long in its normal form, invalid-input.
    """
    country = request.country.upper()
    if country not in countries():
        detail = f"{country} is not a country code that this service knows."
        raise CallerFault(
            "unsupported-country", detail, errors=(FieldError("/country", "supported", detail),)
        )
    rules = rules_of(country)
    tidy = _tidy(rules, request)
    reading = _read(rules, tidy, request.language)
    address = _assemble(rules, tidy, reading, request.language)
    findings = [*tidy.findings, *reading.findings, *_judge(rules, address, reading)]
    if not judging:
        findings = [found for found in findings if not RULES[found.rule].judgement]
    verdict, action = conclude(findings)
    mainland = country == "CN" and reading.postal_pattern is None
    un_locode = locode_naming.of_reading(rules, reading)
    sources = (
        reference.SOURCE,
        *((divisions.SOURCE,) if mainland else ()),
        *((locodes.SOURCE,) if un_locode is not None else ()),
    )
    return reply(
        verdict=verdict,
        next_action=action,
        address=address,
        components=tuple(_components(rules, request, address, reading)),
        formatted=formatted(rules, address, latin=reading.latin),
        findings=tuple(findings),
        sources=sources,
        un_locode=un_locode,
    )


class _Tidy(msgspec.Struct, frozen=True):
    """The request with every text cleaned and the postal code in its written form."""

    texts: dict[str, str | None]
    lines: tuple[str, ...]
    postal_code: str | None
    findings: list[Finding]


def _tidy(rules: CountryRules, request: Address) -> _Tidy:
    findings: list[Finding] = []
    texts: dict[str, str | None] = {}
    for field in _PLAIN:
        given: str | None = getattr(request, field)
        if given is None:
            texts[field] = None
            continue
        length_max = SORTING_CODE_LENGTH_MAX if field == "sorting_code" else NAME_LENGTH_MAX
        texts[field] = _cleaned(given, f"/{field}", length_max) or None
        if texts[field] != given:
            findings.append(finding("text-cleaned", f"/{field}"))
    lines = []
    for i, line in enumerate(request.lines):
        cleaned = _cleaned(line, f"/lines/{i}", LINE_LENGTH_MAX)
        if cleaned:
            lines.append(cleaned)
        if cleaned != line or not cleaned:
            findings.append(finding("text-cleaned", f"/lines/{i}"))
    code = postal.standardise(rules, request.postal_code) or None if request.postal_code is not None else None
    if code is not None and len(code) > POSTAL_CODE_LENGTH_MAX:
        raise _too_long("/postal_code", POSTAL_CODE_LENGTH_MAX)
    if request.postal_code is not None and code != request.postal_code:
        findings.append(
            finding("postal-code-standardised", "/postal_code", country=rules.code, value=code or "")
        )
    return _Tidy(texts, tuple(lines), code, findings)


def _cleaned(given: str, pointer: str, length_max: int) -> str:
    text = clean(given)
    if len(text) > length_max:
        raise _too_long(pointer, length_max)
    return text


def _too_long(pointer: str, length_max: int) -> CallerFault:
    # Some letters become two or three in the normal form, and a reply keeps to the lengths of a request.
    detail = f"in its normal form (NFC) a text has at most {length_max} characters here"
    return CallerFault(
        "invalid-input", f"{pointer}: {detail}.", errors=(FieldError(pointer, "length", detail),)
    )


def _read(rules: CountryRules, tidy: _Tidy, language: str | None) -> Reading:
    texts = {field: tidy.texts[field] for field in DIVISIONS}
    area = texts["administrative_area"]
    if rules.code == "CN" and not (area and rules.regions.find(area)):
        return chinese_reading.read(rules, texts, tidy.lines, tidy.postal_code, language)
    return regions.read(rules, texts, tidy.lines, tidy.postal_code, language)


def _assemble(rules: CountryRules, tidy: _Tidy, reading: Reading, language: str | None) -> Address:
    divided = {field: reading.parts[field].value if field in reading.parts else None for field in DIVISIONS}
    return Address(
        country=rules.code,
        lines=list(reading.lines),
        postal_code=tidy.postal_code,
        language=language,
        **(tidy.texts | divided),
    )


def _required(rules: CountryRules, reading: Reading) -> frozenset[str]:
    required = reading.required if reading.required is not None else rules.required
    # Carriers in China deliver by division; only postal items need the code (README.md, "Own rules").
    return required - {"postal_code"} if rules.code == "CN" else required


def _judge(rules: CountryRules, address: Address, reading: Reading) -> list[Finding]:
    required = _required(rules, reading)
    country = rules.code
    findings = []
    for field in _ORDER:
        value = getattr(address, field)
        if value and field not in rules.allowed:
            rule = "field-not-printed" if field == DEPENDENT else "field-not-used"
            findings.append(finding(rule, f"/{field}", field=field, country=country))
        elif not value and field in required and field not in reading.open_fields:
            findings.append(finding("required-missing", f"/{field}", field=field, country=country))
    if address.postal_code and "postal_code" in rules.allowed:
        findings.extend(postal.check(rules, reading, address.postal_code))
    elif country == "CN" and reading.required is None and not address.postal_code:
        findings.append(finding("recommended-missing", "/postal_code", field="postal_code", country=country))
    if reading.undivided is not None:
        findings.append(finding("district-missing", f"/{DEPENDENT}", value=reading.undivided))
    return findings


def _components(rules: CountryRules, request: Address, address: Address, reading: Reading) -> list[Component]:
    required = _required(rules, reading)
    bad_code = address.postal_code is not None and bool(postal.check(rules, reading, address.postal_code))
    components = [Component("country", rules.code, "confirmed")]
    for field in _ORDER:
        given, value = getattr(request, field), getattr(address, field)
        if field == "lines":
            given, value = "\n".join(given) or None, "\n".join(value) or None
        part = reading.parts.get(field)
        if value is not None and field not in rules.allowed:
            status: Status = "unexpected"
        elif part is not None:
            status = part.status
        elif value is None and given is None:
            if field not in required and not (field == DEPENDENT and reading.undivided):
                continue
            status = "missing"
        elif value != given:
            status = "corrected"
        elif field == "postal_code" and not bad_code and rules.postal_pattern is not None:
            status = "confirmed"
        else:
            status = "unconfirmed"
        # A text that only lost white space is corrected as well, whatever the reference data says of it.
        if status in ("confirmed", "unconfirmed") and value != given and given is not None:
            status = "corrected"
        code = part.code if part is not None else None
        components.append(Component(field, value, status, given if given != value else None, code))
    return components
