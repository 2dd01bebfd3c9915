"""A limit that does not cover a call, as a refusal that shows the arithmetic and says what to do."""

from datetime import datetime
from decimal import Decimal

from billing.allowance import Standing
from catalog.vocabulary.clock import rfc3339
from catalog.vocabulary.money import EXACT, exponent, plain
from catalog.vocabulary.problem import Problem
from gateway.stores.lease_pool import LimitTerms

_NAMES = {"quota": "quota-exhausted", "budget": "budget-exhausted", "credit": "credit-exhausted"}
_HELD_RETRY_S = 1


def exhausted(
    terms: LimitTerms, standing: Standing, need: Decimal, resets_at: datetime, now: datetime
) -> Problem:
    """The refusal of a call that needs more than nobody has taken or holds. `overdrawn` is told where more was used than the
    limit: through usage that was reported, or because the limit was lowered.

    `Retry-After` is a second where other calls hold a part of it, which they may give back; else what is left of a quota's
    period. A budget or credit that is spent names none: only a person changes it.
    """
    figures = {
        "limit": _figure(standing.limit, terms),
        "used": _figure(standing.used, terms),
        "reserved": _figure(standing.reserved, terms),
        "remaining": _figure(max(standing.remaining, Decimal(0)), terms),
        "needs": _figure(need, terms),
    }
    overdrawn = ""
    if standing.overdrawn:
        figures["overdrawn"] = _figure(standing.overdrawn, terms)
        overdrawn = f", overdrawn by {figures['overdrawn']}"
    detail = (
        f"The {_what(terms)} is {figures['limit']} {terms.unit}: {figures['used']} used, {figures['reserved']} reserved, "
        f"{figures['remaining']} remaining{overdrawn}; this call needs {figures['needs']}."
    )
    extra = {"kind": terms.kind, "subject": terms.counts or terms.subject, "unit": terms.unit, **figures}
    if terms.kind != "credit":
        extra["resets_at"] = rfc3339(resets_at)
    retry_after_s = None
    if standing.reserved > 0:
        retry_after_s = _HELD_RETRY_S
        detail += f" Other calls hold {figures['reserved']} of it: repeat this one in {_HELD_RETRY_S} s."
    elif terms.kind == "credit":
        detail += " Top the credit up."
    else:
        detail += f" It begins anew at {extra['resets_at']}."
        if terms.kind == "quota":
            retry_after_s = max(1, -int((now - resets_at).total_seconds() // 1))
    return Problem(_NAMES[terms.kind], detail, extra={"allowance": extra}, retry_after_s=retry_after_s)


def unbounded(terms: LimitTerms) -> Problem:
    """The refusal of a call that may cost any amount where only a certain one may be spent."""
    extra = {"kind": terms.kind, "subject": terms.subject, "unit": terms.unit}
    return Problem(
        "charge-unbounded",
        "What this operation costs is known only afterwards and its price has no upper bound for one call, so it cannot "
        f"be paid from {'prepaid credit' if terms.kind == 'credit' else 'a hard budget'}.",
        extra={"allowance": extra},
    )


def _what(terms: LimitTerms) -> str:
    if terms.kind == "credit":
        return "prepaid credit"
    if terms.kind == "budget":
        return f"budget {terms.subject} of this month"
    whose = "application" if terms.application_id else "account"
    return f"quota of {terms.counts} for each {whose} and {terms.period}"


def _figure(amount: Decimal, terms: LimitTerms) -> str:
    """Calls as whole numbers; money with the places of its currency, or as many as it has: `6.50`, `0.055`."""
    places = 0 if terms.kind == "quota" else exponent(terms.unit)
    at_least = amount.quantize(Decimal(1).scaleb(-places), context=EXACT)
    return plain(at_least if at_least == amount else amount.normalize(EXACT))
