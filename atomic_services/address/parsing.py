"""The operation `parse`: from one pasted text to recipient, telephone and a judged address."""

import re
import textwrap

import msgspec

from atomic_services.address import locodes, parse_abroad, parse_china, streets
from atomic_services.address.china_report import Report, report
from atomic_services.address.findings import RULES, conclude, finding
from atomic_services.address.labels import tidy
from atomic_services.address.origins import country_of, take_country_name
from atomic_services.address.pasted import Pasted
from atomic_services.address.reference import countries, rules_of
from atomic_services.address.run import answer
from atomic_services.address.schema import (
    LINE_LENGTH_MAX,
    TEXT_LENGTH_MAX,
    Address,
    Finding,
    ParseReply,
    ParseRequest,
    Status,
    ValidateReply,
)
from atomic_services.address.text import is_latin
from atomic_services.contract import CallContext
from catalog.vocabulary.problem import CallerFault, FieldError

UNKNOWN_COUNTRY = "ZZ"
_LONG_NUMBER = re.compile(r"\d(?:[- ]?[\d*]){6,}", re.ASCII)
_UNDECIDED = frozenset(
    ("ambiguous", "invalid")
)  # the text contradicts itself, so it names no place for trade
_OPEN = frozenset(("required-missing", "district-missing"))


async def parse(request: ParseRequest, _context: CallContext) -> ParseReply:
    """What a pasted text says: recipient, telephone numbers, divisions, street address, and what is doubtful.

    Raises `CallerFault` unsupported-country for a country that the reference data does not know, and invalid-input
    for a text without any letter or digit, or one that is too long in its normal form.
    """
    country = _given_country(request)
    text = tidy(request.text)
    if not any(c.isalnum() for c in text):
        raise _refused("a text has at least one letter or digit")
    if len(text) > TEXT_LENGTH_MAX:
        raise _refused(f"in its normal form (NFC) a text has at most {TEXT_LENGTH_MAX} characters")
    findings: list[Finding] = []
    if country is None:
        pasted = Pasted(text, None)
        country = country_of(pasted)
        if country is None:
            return _without_country(pasted, [finding("country-not-recognised", "/text")])
        if country == "CN":
            # What a number of China is does not depend on knowing the country.
            return _chinese(pasted, findings)
        findings.append(finding("country-inferred", "/text", value=country))
    # Only who knows the country can read its telephone numbers, so the text is read anew.
    pasted = Pasted(text, country)
    take_country_name(pasted, country)
    return _chinese(pasted, findings) if country == "CN" else _foreign(pasted, country, findings)


def _given_country(request: ParseRequest) -> str | None:
    if request.country is None:
        return None
    country = request.country.upper()
    if country not in countries():
        detail = f"{country} is not a country code that this service knows."
        raise CallerFault(
            "unsupported-country", detail, errors=(FieldError("/country", "supported", detail),)
        )
    return country


def _refused(detail: str) -> CallerFault:
    return CallerFault("invalid-input", f"/text: {detail}.", errors=(FieldError("/text", "text", detail),))


def _chinese(pasted: Pasted, findings: list[Finding]) -> ParseReply:
    found = parse_china.read(pasted)
    told = report(found)
    rest = _rest(pasted)
    town = found.town.given if found.town is not None else ""
    zone = found.zone.name if found.zone is not None else ""
    gap = " " if rest[:1].isascii() and rest[:1].isalpha() and not town.isascii() else ""
    first = f"{zone}{town}{gap if town or zone else ''}{rest}"
    address = Address(
        country="CN",
        lines=_lines(first),
        postal_code=pasted.postal_code,
        recipient=pasted.recipient,
        organization=pasted.organization,
        **told.fields,
    )
    judged = answer(address, ValidateReply, judging=True)
    return _reply(pasted, judged, told, rest, findings)


def _foreign(pasted: Pasted, country: str, findings: list[Finding]) -> ParseReply:
    rules = rules_of(country)
    found = parse_abroad.read(pasted, rules)
    pasted.postal_code = found.postal_code
    address = Address(
        country=country,
        lines=_packed([piece for _, piece in pasted.pieces()]),
        postal_code=found.postal_code,
        recipient=pasted.recipient,
        organization=pasted.organization,
        **found.fields,
    )
    judged = answer(address, ValidateReply, judging=True)
    findings += [finding("division-inferred", "/text", value=found.fields[f]) for f in found.inferred]
    findings += [finding("locality-assumed", "/text", value=found.fields[f]) for f in found.assumed]
    if judged.address.lines:
        findings.append(finding("text-kept", "/text", value=", ".join(judged.address.lines)))
    statuses: dict[str, tuple[Status, str | None]] = dict.fromkeys(found.inferred, ("inferred", None))
    told = Report(dict(found.fields), (), (), [], statuses, doubtful=False)
    return _reply(pasted, judged, told, ", ".join(judged.address.lines), findings)


def _without_country(pasted: Pasted, findings: list[Finding]) -> ParseReply:
    """No country, no rules: telephone numbers and the lines as they are."""
    pasted.take_recipient(None)
    lines = _packed([piece for _, piece in pasted.pieces()])
    address = Address(
        country=UNKNOWN_COUNTRY, lines=lines, recipient=pasted.recipient, organization=pasted.organization
    )
    if lines:
        findings.append(finding("text-kept", "/text", value=", ".join(lines)))
    judged = ValidateReply(
        verdict="incomplete", next_action="fix", address=address, components=(), formatted=tuple(lines), findings=(), sources=(),
    )  # fmt: skip
    told = Report({}, (), (), [], {}, doubtful=False)
    return _reply(pasted, judged, told, ", ".join(lines), findings)


def _reply(
    pasted: Pasted, judged: ValidateReply, told: Report, rest: str, findings: list[Finding]
) -> ParseReply:
    # What `validate` did to the fields was done by this operation before; its judgement stands.
    judgements = [
        msgspec.structs.replace(found, pointer="/text")
        for found in judged.findings
        if (RULES[found.rule].judgement or found.pointer == "/postal_code")
        and not (told.doubtful and (found.rule in _OPEN or found.rule.startswith("division-")))
        and not (told.in_zone and found.rule == "district-missing")
    ]
    everything = [*told.findings, *findings, *_contacts(pasted, rest), *judgements]
    verdict, action = conclude(everything)
    components = tuple(
        msgspec.structs.replace(c, status=told.given[c.name][0], given=told.given[c.name][1])
        if c.name in told.given and c.status != "missing"
        else c
        for c in judged.components
    )
    mainland = judged.address.country == "CN" and bool(judged.sources)
    sources = (*judged.sources, streets.SOURCE) if mainland else judged.sources
    named = None if verdict in _UNDECIDED else judged.un_locode
    return ParseReply(
        verdict=verdict,
        next_action=action,
        address=judged.address,
        components=components,
        formatted=judged.formatted,
        findings=tuple(everything),
        sources=sources if named is not None else tuple(s for s in sources if s != locodes.SOURCE),
        divisions=told.divisions,
        candidates=told.candidates,
        recipient=judged.address.recipient,
        phone=pasted.phones[0].phone.number if pasted.phones else None,
        phones=tuple(found.phone for found in pasted.phones),
        postal_code=judged.address.postal_code,
        rest=rest,
        notes=(*pasted.notes, *pasted.remarks),
        un_locode=named,
    )


def _contacts(pasted: Pasted, rest: str) -> list[Finding]:
    findings = [
        finding("phone-unconfirmed", "/text", value=found.phone.given)
        for found in pasted.phones
        if found.phone.status == "unconfirmed"
    ]
    if len(pasted.phones) > 1:
        findings.append(finding("phones-several", "/text"))
    if pasted.sender_doubtful is not None:
        findings.append(finding("sender-named", "/text", value=pasted.sender_doubtful))
    if pasted.remarks:
        findings.append(finding("remark-separated", "/text", value="; ".join(pasted.remarks)))
    if pasted.recipient_assumed:
        findings.append(finding("recipient-assumed", "/text", value=pasted.recipient))
    if pasted.recipient_doubtful is not None:
        findings.append(finding("recipient-doubtful", "/text", value=pasted.recipient_doubtful))
    findings += [
        finding("digits-not-recognised", "/text", value=match[0]) for match in _LONG_NUMBER.finditer(rest)
    ]
    return findings


def _rest(pasted: Pasted) -> str:
    pieces = list(dict.fromkeys(piece for _, piece in pasted.pieces()))
    return (", " if is_latin("".join(pieces)) else " ").join(pieces)


def _lines(text: str) -> list[str]:
    return [text[i : i + LINE_LENGTH_MAX].strip() for i in range(0, len(text), LINE_LENGTH_MAX)]


def _packed(pieces: list[str]) -> list[str]:
    """At most eight lines of at most 200 characters; a text of a thousand always fits."""
    if len(pieces) <= 8 and all(len(piece) <= LINE_LENGTH_MAX for piece in pieces):
        return pieces
    return textwrap.wrap(", ".join(pieces), LINE_LENGTH_MAX, break_on_hyphens=False)
