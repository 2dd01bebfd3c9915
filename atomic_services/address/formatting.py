"""The operation `format`: the parts of an address, written as in their country."""

import functools
from collections.abc import Mapping

from atomic_services.address.components import completed, named, placed
from atomic_services.address.format_schema import FormatReply, FormatRequest
from atomic_services.address.forms import SOURCE, form_countries, form_of
from atomic_services.address.rendering import distinct, fill, tidy
from atomic_services.address.text import clean
from atomic_services.contract import CallContext
from catalog.vocabulary.problem import CallerFault, FieldError

_ALPHA_2 = 2


async def write(request: FormatRequest, _context: CallContext) -> FormatReply:
    """The address as lines of text, by the form of its country.

    Raises `CallerFault` unsupported-country for a country without a form.
    """
    given = {name: text for name, value in request.components.items() if (text := clean(value))}
    country = _country(request, given)
    if country is not None:
        country, given = placed(country, given)
    language = request.language.partition("-")[0].lower() if request.language is not None else None
    form = form_of(country, language)
    values = named(country, given)
    template = form.address if "road" in values or "postcode" in values else form.fallback
    values = completed(country, form, values, abbreviate=request.abbreviate)
    # The steps that follow expect every line to end, the last one too.
    text = f"{tidy(fill(template, values)) or _only(values)}\n"
    text = ", ".join(distinct(part.lstrip() for part in text.split(", ")))
    written = tidy(functools.reduce(lambda line, rule: rule.apply(line), form.after, text))
    lines = tuple(line for line in written.split("\n") if line)
    return FormatReply(country=country, formatted=lines, text=written, sources=(SOURCE,))


def _only(values: Mapping[str, str]) -> str:
    """The one component there is: it is printed even where the form has no place for it."""
    if len(values) != 1:
        return ""
    ((name, value),) = values.items()
    return value.upper() if name == "country_code" else value


def _country(request: FormatRequest, given: Mapping[str, str]) -> str | None:
    """The country asked for, else the one among the components; UK is widely written for GB."""
    pointer, code = "/country", request.country
    if code is None:
        pointer, code = "/components/country_code", given.get("country_code")
    if code is None:
        return None
    code = "GB" if code.upper() == "UK" else code.upper()
    if len(code) != _ALPHA_2 or code not in form_countries():
        detail = f"{code} is not a country code that this service knows."
        raise CallerFault("unsupported-country", detail, errors=(FieldError(pointer, "supported", detail),))
    return code
