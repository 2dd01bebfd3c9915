"""`ordergate rate`: pricing cases in, amounts out, one JSON object a line."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from billing.rate.cases.refusal import refused
from billing.rate.cases.terms import CaseTerms, terms_of
from billing.rate.cases.usage import usage_of
from billing.rate.rating import Rating, difference, line, rate_steps
from billing.rate.usage import UsageError
from catalog.vocabulary.money import exponent, is_currency, plain
from catalog.vocabulary.problem import Problem
from catalog.vocabulary.strict_json import decode_json


def answer(case: Mapping[str, Any]) -> dict[str, Any]:
    """`{"id", "amount", "lines"}` of a case; `Problem` where it cannot be rated.

    The amount is rounded to the currency's ISO 4217 exponent. What is no such currency (credits, units, a ratio) has no
    minor unit and is answered precisely. There is one line, with its precise amount and its trace;
    `ignored` names the fields that were passed over, if any.
    """
    terms = terms_of(case)
    rating = _rating(terms, case.get("usage"), _places(case))
    amount, trace = plain(rating.amount), msgspec.to_builtins(rating.trace)
    lines = [{"amount": amount, "precise": plain(rating.precise), "trace": list(trace)}]
    answered = {"id": case.get("id"), "amount": amount, "lines": lines}
    return answered | ({"ignored": list(terms.ignored)} if terms.ignored else {})


def answer_lines(lines: Iterable[str]) -> Iterator[str]:
    """One answer per line that is not blank, without a line end; a bad case gets `{"id", "error"}`, others go on."""
    for text in lines:
        if text.strip():
            yield msgspec.json.encode(_answer_text(text)).decode()


def _answer_text(text: str) -> dict[str, Any]:
    case: Any = None
    try:
        # A lone surrogate is how Python passes on a byte that was not UTF-8: the decoder refuses it.
        case = decode_json(text.encode("utf-8", "surrogatepass"))
        if not isinstance(case, dict):
            raise refused("", "type", "a case is one JSON object on one line")
        return answer(case)
    except Problem as problem:
        first = problem.errors[0]
        error = {"field": first.pointer, "rule": first.rule, "remedy": first.detail}
        return {"id": case.get("id") if isinstance(case, dict) else None, "error": error}


def _rating(terms: CaseTerms, raw: object, places: int | None) -> Rating:
    try:
        if isinstance(raw, Mapping) and "cumulative_before" in raw and "cumulative_after" in raw:
            before = usage_of(terms.price, raw["cumulative_before"], "/usage/cumulative_before")
            after = usage_of(terms.price, raw["cumulative_after"], "/usage/cumulative_after")
            steps = rate_steps(terms.price, before), rate_steps(terms.price, after)
            return difference(*steps, places, terms.rounding)
        return line(rate_steps(terms.price, usage_of(terms.price, raw, "/usage")), places, terms.rounding)
    except UsageError as error:
        raise refused("/usage", "usage-form", str(error)) from None


def _places(case: Mapping[str, Any]) -> int | None:
    currency = case.get("currency")
    if not isinstance(currency, str) or not currency:
        raise refused("/currency", "required", "state the currency by its ISO 4217 code, such as CNY")
    return exponent(currency) if is_currency(currency) else None
