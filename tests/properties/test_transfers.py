"""Whatever is earned by whomever: each document's parts sum to it, and the transfers of the group to zero in every currency."""

from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from billing.invoice.month import Payer
from billing.invoice.transfer import Earned, by_unit, transfer_entries, unit_parts
from catalog.passport import Share
from catalog.vocabulary.money import exponent

_UNITS = ("logistics", "legal", "it", "warehouse")


@st.composite
def _shares(draw: st.DrawFn) -> tuple[Share, ...]:
    """Up to four units with percentages to two places that sum to 100; one may deliver nothing."""
    cuts = sorted(draw(st.lists(st.integers(0, 10_000), min_size=0, max_size=3, unique=True)))
    edges = [0, *cuts, 10_000]
    percents = [Decimal(end - start) / 100 for start, end in pairwise(edges)]
    return tuple(Share(unit, f"{percent:f}") for unit, percent in zip(_UNITS, percents, strict=False))


_MINOR = st.integers(-(10**9), 10**9)
_DOCUMENTS = st.lists(
    st.tuples(
        st.sampled_from(["internal", "external", "platform"]),
        st.sampled_from(["CNY", "JPY", "KWD"]),
        st.lists(st.tuples(_MINOR, st.integers(0, 10**6), _shares()), min_size=1, max_size=4),
    ),
    min_size=1,
    max_size=6,
)


@given(_DOCUMENTS)
def test_parts_sum_to_the_document_and_transfers_to_zero(
    documents: list[tuple[str, str, list[tuple[int, int, tuple[Share, ...]]]]],
) -> None:
    group: dict[str, Decimal] = defaultdict(Decimal)
    claims: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    owed: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for number, (kind, currency, services) in enumerate(documents):
        unit = Decimal(1).scaleb(-exponent(currency))
        payer = Payer(f"acct_{number}", "x", {}, kind, currency, "UTC", {})  # type: ignore[arg-type]
        parts = []
        for place, (revenue, given_back, shares) in enumerate(services):
            earned = Earned(f"service-{place}", revenue * unit, given_back * unit)
            own = unit_parts(earned, shares, currency)
            assert sum(part.revenue for part in own) == earned.revenue
            assert sum(part.credits for part in own) == earned.credits
            assert sum(part.share_pct for part in own) == 100
            assert all(part.share_pct > 0 for part in own)
            parts.extend(own)
        for part in parts:
            claims[part.unit, currency] += part.revenue - part.credits
        for entry in transfer_entries(payer, parts):
            assert entry.amount
            group[entry.currency] += entry.amount
            if entry.account_id.startswith("unit:"):
                owed[entry.account_id.removeprefix("unit:"), currency] += entry.amount
            else:
                assert (entry.account_id == payer.id) == (kind == "internal")
    assert not any(group.values())
    assert {key: amount for key, amount in owed.items() if amount} == {
        key: amount for key, amount in claims.items() if amount
    }


@given(_MINOR, _shares())
def test_a_credit_that_was_divided_already_stays_as_it_was(minor: int, shares: tuple[Share, ...]) -> None:
    delivering = [share.unit for share in shares if Decimal(share.share_pct)]
    given_before = dict.fromkeys(delivering, Decimal("0.00")) | {
        delivering[-1]: Decimal(abs(minor)).scaleb(-2)
    }
    earned = Earned("customs", Decimal(0), Decimal(abs(minor)).scaleb(-2), given_before)
    assert {part.unit: part.credits for part in unit_parts(earned, shares, "CNY")} == given_before


@given(_MINOR, _shares())
def test_what_is_divided_between_units_sums_to_it_and_is_nearly_their_percentages(
    minor: int, shares: tuple[Share, ...]
) -> None:
    amount = Decimal(minor).scaleb(-2)
    found = by_unit(amount, shares, "CNY")
    assert sum(found.values(), Decimal(0)) == amount
    for share in shares:
        exact = Fraction(amount) * Fraction(share.share_pct) / 100
        assert abs(Fraction(found.get(share.unit, Decimal(0))) - exact) < Fraction(1, 100)


def test_a_unit_that_a_passport_names_twice_has_one_part_of_both_shares() -> None:
    shares = (Share("it", "40"), Share("legal", "30"), Share("it", "30"))
    (it, legal) = unit_parts(Earned("customs", Decimal("10.00")), shares, "CNY")
    assert (it.unit, it.share_pct, it.revenue) == ("it", Decimal(70), Decimal("7.00"))
    assert (legal.unit, legal.share_pct, legal.revenue) == ("legal", Decimal(30), Decimal("3.00"))


def test_what_nobody_delivers_is_not_divided() -> None:
    assert by_unit(Decimal("1.00"), (), "CNY") == {}
