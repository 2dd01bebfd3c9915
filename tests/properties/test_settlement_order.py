"""A settlement follows from its facts, in whatever order they were heard of."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from billing.payment.settlement import FactKind, settle

AMOUNTS = st.decimals(min_value=0, max_value=1000, places=2)
KINDS: tuple[FactKind, ...] = (
    "payment",
    "refund",
    "refund_failed",
    "dispute_opened",
    "dispute_fee",
    "dispute_won",
    "dispute_lost",
    "voided",
)
FACTS = st.lists(st.tuples(st.sampled_from(KINDS), AMOUNTS), max_size=8)


@given(AMOUNTS, AMOUNTS, FACTS, st.randoms(use_true_random=False))
def test_the_order_of_facts_decides_nothing(
    total: Decimal, credited: Decimal, facts: list[tuple[FactKind, Decimal]], chance: object
) -> None:
    shuffled = list(facts)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert settle(total, credited, shuffled) == settle(total, credited, facts)


@given(AMOUNTS, FACTS)
def test_what_is_owed_is_what_is_not_credited_or_paid_or_was_sent_back(
    total: Decimal, facts: list[tuple[FactKind, Decimal]]
) -> None:
    standing = settle(total, Decimal(0), facts)
    assert standing.owed == total - standing.paid + standing.refunded
    more: list[tuple[FactKind, Decimal]] = [*facts, ("payment", total)]
    assert settle(total, Decimal(0), more).state != "open"


@given(FACTS)
def test_void_and_lost_are_final(facts: list[tuple[FactKind, Decimal]]) -> None:
    voided: list[tuple[FactKind, Decimal]] = [*facts, ("voided", Decimal(0))]
    assert settle(Decimal(5), Decimal(0), voided).state == "void"
    without = [fact for fact in facts if fact[0] not in ("voided", "dispute_opened")]
    lost: list[tuple[FactKind, Decimal]] = [*without, ("dispute_lost", Decimal(5)), ("payment", Decimal(5))]
    assert settle(Decimal(5), Decimal(0), lost).state == "lost"
