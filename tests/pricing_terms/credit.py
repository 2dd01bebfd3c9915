"""Credit that was paid or given in advance."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from billing.prepaid.apply import share_out
from billing.prepaid.grants import Grant
from billing.rate.cases import answer
from catalog.vocabulary.money import is_currency
from tests.pricing_terms.case import Case, Found

_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
_ZERO = Decimal(0)


def _grants(price: Mapping[str, Any]) -> list[Grant]:
    """Grants as they are listed, the earlier the older, in the order in which they are consumed."""
    listed = (
        price.get("grants")
        or price.get("wallets")
        or [{"amount": one} for one in price.get("prepaid_credits", ())]
    )
    found = []
    for place, one in enumerate(listed):
        granted_at = _LONG_AGO + timedelta(days=place)
        priority = one.get("priority")
        found.append(
            Grant(
                id=f"grant_{place:02}",
                amount=Decimal(one.get("amount") or one["balance"]),
                currency="USD",
                category="paid",
                priority=100 if priority is None else priority,
                valid_from=granted_at,
                valid_until=_expiry(one.get("expires")),
                granted_at=granted_at,
                used=_ZERO,
                reserved=_ZERO,
                applied=_ZERO,
                expired=None,
            )
        )
    return sorted(
        found,
        key=lambda one: (one.priority, one.valid_until or datetime.max.replace(tzinfo=UTC), one.granted_at),
    )


def _expiry(text: str | None) -> datetime | None:
    """`2036-03-01`, `Sep 1`, or `T10` for a day that comes so much later than others."""
    if text is None:
        return None
    if text.startswith("T"):
        return datetime(2030, 1, 1, tzinfo=UTC) + timedelta(days=int(text[1:]))
    form, text = ("%Y-%m-%d", text) if text[0].isdigit() else ("%b %d %Y", f"{text} 2030")
    return datetime.strptime(text, form).replace(tzinfo=UTC)


def _paid(case: Case, total: Decimal) -> tuple[list[Grant], Mapping[str, Decimal]]:
    grants = _grants(case["price"])
    currency = case["currency"] if is_currency(case["currency"]) else "USD"
    return grants, share_out(grants, {}, total, currency, datetime(2025, 1, 1, tzinfo=UTC))


def _by_listing(grants: Iterable[Grant], amounts: Callable[[Grant], Decimal]) -> list[Decimal]:
    return [amounts(one) for one in sorted(grants, key=lambda one: one.id)]


def burnt_down(case: Case) -> Found:
    """What credit is left and what stays owed once a total is paid."""
    usage = case["usage"]
    total = (
        sum((Decimal(one) for one in usage.values()), _ZERO) if isinstance(usage, dict) else Decimal(usage)
    )
    grants, paid = _paid(case, total)
    owed = total - sum(paid.values(), _ZERO)
    remaining = _by_listing(grants, lambda one: one.amount - paid[one.id])
    return {
        "amount": owed,
        "overage": owed,
        "remaining": remaining,
        "balance": sum(remaining, _ZERO),
        "consumed": _by_listing(grants, lambda one: paid[one.id]),
    }


def expired(case: Case) -> Found:
    """What is left of grants when their time is over."""
    used = sum(
        (Decimal(one.get("use", 0)) - Decimal(one.get("correction_restores", 0)) for one in case["usage"]),
        _ZERO,
    )
    grants, paid = _paid(case, used)
    left = _by_listing(grants, lambda one: one.amount - paid[one.id])
    return {"amount": sum(left, _ZERO), "breakage": left}


def credited(case: Case) -> Found:
    """What stays owed of a bill."""
    price, usage = case["price"], case["usage"]
    if "tiers" in price:
        terms = {name: value for name, value in price.items() if name != "prepaid_credits"}
        total = Decimal(answer({**case, "model": "graduated", "price": terms})["amount"])
    else:
        total = Decimal(usage["charge"])
    grants, paid = _paid(case, total)
    return {
        "amount": total - sum(paid.values(), _ZERO),
        "applied": _by_listing(grants, lambda one: paid[one.id]),
    }
