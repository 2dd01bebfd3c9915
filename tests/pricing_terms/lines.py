"""Lines of a period: what is new since the last one, tiers, discounts, rounding, allocation."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from billing.rate.cases import answer
from catalog.vocabulary.apportion import apportion
from catalog.vocabulary.exact import round_to
from catalog.vocabulary.money import is_currency, round_money
from tests.pricing_terms.case import Case, Found

_ZERO = Decimal(0)


def _precise(case: Case, **changed: object) -> Decimal:
    (line,) = answer({**case, **changed})["lines"]
    return Decimal(line["precise"])


def line(case: Case) -> Found:
    """One line of a period: of all its usage, or of what was added to it since it was billed last."""
    match case["usage"]:
        case {"runs": runs}:
            return _periods(case, runs)
        case {"period1_before": before, "period1_after_late_event": after, "period2_cumulative": both}:
            return _periods(case, [[before], [after, both]], told_before=True)
        case {"fourth_event": value}:
            free = ["100", "100", "100"]
            return {
                "amount": _precise(case, usage={"events": [*free, value]})
                - _precise(case, usage={"events": free})
            }
        case {"records": records}:
            terms = {name: value for name, value in case["price"].items() if name != "already_billed"}
            whole = _precise(case, price=terms, usage=str(sum(map(Decimal, records))))
            return {"amount": whole - Decimal(case["price"]["already_billed"])}
        case {"line": str(added), **more}:
            return {
                "amount": _next_line(case, Decimal(added), {str(name): value for name, value in more.items()})
            }
        case usage:
            return {"amount": _precise(case, usage=usage)}


def _next_line(case: Case, line: Decimal, more: Mapping[str, Any]) -> Decimal:
    billed = Decimal(more.get("already_billed", 0))
    before = Decimal(more.get("prior_in_period") or round(billed / _each(case["price"]), 6))
    if billed:
        return Decimal(answer({**case, "usage": str(before + line)})["amount"]) - billed
    both = {"cumulative_before": str(before), "cumulative_after": str(before + line)}
    return Decimal(answer({**case, "usage": both})["amount"])


def _each(price: Mapping[str, Any]) -> Decimal:
    share = 1 - Decimal(price.get("discount_pct", 0)) / 100
    return Decimal(price.get("unit_price") or price.get("multiplier", 1)) * share


def _periods(case: Case, runs: Sequence[Sequence[str]], *, told_before: bool = False) -> Found:
    """What each run bills, where each run says how much was used up to the end of each period."""
    billed: dict[int, Decimal] = {}
    moved: list[list[Decimal]] = []
    for run in runs:
        ends = [_ZERO, *map(Decimal, run)]
        due = {place: _precise(case, usage=str(ends[place + 1] - ends[place])) for place in range(len(run))}
        moved.append([amount - billed.get(place, _ZERO) for place, amount in due.items()])
        billed = due
    last = moved[-1]
    if told_before:
        return {"amount": sum(last, _ZERO), "period1_correction": last[0], "period2": last[1]}
    return {
        "amount": sum(last, _ZERO),
        "run1": sum(moved[0], _ZERO),
        "run2": sum(moved[1], _ZERO),
        "run3_lines": [one for one in last if one],
    }


def billable_units(case: Case) -> Found:
    """Units beyond an allowance, at a price of one."""
    return line({**case, "model": "per_unit"})


def packages(case: Case) -> Found:
    """Units rounded up to whole packages."""
    size = case["price"]["package_size"]
    price = {"package_size": size, "package_price": str(Decimal(size) * Decimal(case["price"]["unit_price"]))}
    return {"amount": _precise(case, model="package", price=price)}


def grouped(case: Case) -> Found:
    """Tiers cumulate over a subscription: each group is one."""
    price = {"tiers": case["price"]["tiers"]}
    groups = case["usage"]["groups"]
    return {
        "amount": sum((_precise(case, model="graduated", price=price, usage=one) for one in groups), _ZERO)
    }


def _discounted(case: Case, step: str, terms: Mapping[str, str]) -> Found:
    price = {"unit_price": case["usage"], **terms}
    (line,) = answer({**case, "model": "per_unit", "price": price, "usage": "1"})["lines"]
    taken = sum((Decimal(one["amount"]) for one in line["trace"] if one["step"] == step), _ZERO)
    return {"amount": round_money(-taken, case["currency"])}


def percentage_discount(case: Case) -> Found:
    """What a percentage takes off, as it is shown."""
    return _discounted(case, "discount_pct", {"discount_pct": case["price"]["discount_pct"]})


def fixed_discount(case: Case) -> Found:
    """What a fixed discount takes off."""
    return _discounted(case, "discount_amount", {"discount_amount": case["price"]["discount"]})


def rounded(case: Case) -> Found:
    """One amount, rounded as its currency is."""
    if not is_currency(case["currency"]):
        exact = Fraction(Decimal(case["usage"]))
        return {"amount": round_to(exact, case["price"]["exponent"], case["price"]["mode"])}
    return {"amount": round_money(Decimal(case["usage"]), case["currency"])}


def lines_rounded(case: Case) -> Found:
    """The sum of lines that are rounded each."""
    plain = {"id": "", "model": "per_unit", "currency": case["currency"], "usage": "1"}
    lines = (answer({**plain, "price": {"unit_price": line}}) for line in case["usage"]["lines"])
    return {"amount": sum((Decimal(line["amount"]) for line in lines), _ZERO)}


def allocated(case: Case) -> Found:
    """The parts of an amount."""
    weights = [Decimal(one) for one in case["price"]["weights"]]
    parts = apportion(Decimal(case["usage"]), weights, case["currency"])
    return {"amount": sum(parts, _ZERO), "parts": parts}
