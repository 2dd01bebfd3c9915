"""From a month's charges and its terms to what else the bill has: fee, discount, top-up, true-up, tax. Pure.

The order is that of the contract: sum of the lines, plus the access fee, minus the discount, at least the minimum; then,
in the last month of a commitment, at least what was committed. Terms on one service come before those on the whole bill,
which see what they made of it. Credits for missed objectives come after all of it, and tax is on what is left.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Literal

import msgspec

from billing.rate import TierTrace
from catalog.accounts.contract_terms import ContractTerms
from catalog.accounts.tax import TaxRate
from catalog.vocabulary.apportion import apportion
from catalog.vocabulary.exact import round_to, to_decimal
from catalog.vocabulary.money import exponent, plain
from catalog.vocabulary.period import Period

ContractKind = Literal["fee", "discount", "top_up", "true_up", "tax"]

_NOTHING = Decimal(0)


class Contracted(msgspec.Struct, frozen=True):
    """One charge of a month, cumulative: `amount` rounded as the bill shows it, `base` what it was taken of.

    `service` is empty for the whole bill; `name` tells the groups of a tax apart; `trace` is the arithmetic, whose
    amounts sum to the amount before rounding.
    """

    kind: ContractKind
    service: str
    name: str
    base: Decimal
    amount: Decimal
    trace: tuple[TierTrace, ...]


def contract_charges(
    contracts: Iterable[ContractTerms],
    lines: Mapping[str, Decimal],
    spent: Mapping[str, Decimal],
    period: Period,
    currency: str,
) -> tuple[Contracted, ...]:
    """What the contracts of a month come to. `contracts` are as `terms_in` orders them.

    `lines` are the month's amounts by service; `spent` what each contract's commitment, by its id, came to in the
    earlier months of its span.
    """
    found: list[Contracted] = []
    for contract in contracts:
        if contract.service:
            base = lines.get(contract.service, _NOTHING)
        else:
            base = sum(lines.values(), _NOTHING) + sum((one.amount for one in found), _NOTHING)
        found += _of_contract(contract, base, spent.get(contract.id, _NOTHING), period, currency)
    return tuple(found)


def _of_contract(
    contract: ContractTerms, base: Decimal, spent: Decimal, period: Period, currency: str
) -> list[Contracted]:
    service, amount = contract.service, base
    found: list[Contracted] = []
    share = Fraction(*contract.days_in(period))

    def add(kind: ContractKind, of: Decimal, charged: Decimal, *trace: TierTrace) -> None:
        nonlocal amount
        if charged:
            found.append(Contracted(kind, service, "", of, charged, trace))
            amount += charged

    fee = share * Fraction(contract.access_fee)
    months = plain(to_decimal(share))
    add("fee", amount, _rounded(fee, currency), _step("price", months, contract.access_fee, fee))
    discount = -Fraction(max(amount, _NOTHING)) * Fraction(contract.discount_pct) / 100
    percent = -contract.discount_pct / 100
    add(
        "discount",
        amount,
        _rounded(discount, currency),
        _step("discount_pct", plain(amount), percent, discount),
    )
    minimum = _rounded(share * Fraction(contract.minimum), currency)
    missing = max(_NOTHING, minimum - amount)
    add("top_up", amount, missing, _step("minimum", "1", minimum, Fraction(missing)))
    if contract.commitment_ends(period) == period:
        short = max(_NOTHING, contract.committed_spend - spent - amount)
        add(
            "true_up", spent + amount, short, _step("minimum", "1", contract.committed_spend, Fraction(short))
        )
    return found


def tax_charges(
    taxes: Sequence[TaxRate], net: Mapping[str, Decimal], currency: str
) -> tuple[Contracted, ...]:
    """The tax of each group of services with one rate, rounded once for each group.

    `net` is what is taxed by service; what is of the whole bill (service '') is divided between the groups in proportion
    to what they come to, or is of the general rate where no group comes to anything.
    """
    if not taxes:
        return ()
    by_service = {one.service: one for one in taxes}
    general = by_service.get("")
    groups: dict[TaxRate | None, Decimal] = {general: _NOTHING} if general else {}
    for service, amount in net.items():
        if service:
            rate = by_service.get(service, general)
            groups[rate] = groups.get(rate, _NOTHING) + amount
    if shared := net.get("", _NOTHING):
        weights = [max(amount, _NOTHING) for amount in groups.values()]
        if any(weights):
            parts = apportion(shared, weights, currency)
            groups = {rate: amount + part for (rate, amount), part in zip(groups.items(), parts, strict=True)}
        else:
            groups[general] = groups.get(general, _NOTHING) + shared
    found = []
    for rate, base in groups.items():
        if rate is not None and (
            amount := _rounded(Fraction(base) * Fraction(rate.rate_pct) / 100, currency)
        ):
            exact = Fraction(base) * Fraction(rate.rate_pct) / 100
            trace = _step("price", plain(base), rate.rate_pct / 100, exact)
            found.append(Contracted("tax", rate.service, tax_name(rate), base, amount, (trace,)))
    return tuple(found)


def tax_name(rate: TaxRate) -> str:
    """`CN VAT 6 %`: how a document names a tax."""
    return f"{rate.region} {rate.name} {plain(rate.rate_pct.normalize())} %"


def _step(
    step: Literal["price", "discount_pct", "minimum"], quantity: str, unit: Decimal, exact: Fraction
) -> TierTrace:
    return TierTrace(step, None, quantity, plain(unit), "0", plain(to_decimal(exact)))


def _rounded(exact: Fraction, currency: str) -> Decimal:
    return round_to(exact, exponent(currency))
