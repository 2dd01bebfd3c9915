"""A bill on cost centres: the narrowest rule of the month decides, parts sum to every line, the journal to zero."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from billing.invoice.document import Document, DocumentLine, DocumentShare
from billing.settlement.chargeback import charged_back
from catalog.accounts.allocation import AllocationPart, AllocationRule, rule_for
from catalog.vocabulary.money import plain
from catalog.vocabulary.period import Period

OCTOBER = Period(2026, 10)
NAMES = {"cc_a": "logistics", "cc_b": "legal", "cc_c": "IT"}
DEMO = (AllocationPart("cc_a", "55"), AllocationPart("cc_b", "25"), AllocationPart("cc_c", "20"))


def _rule(
    scope: str, month: str, parts: tuple[AllocationPart, ...] = DEMO, id_: str = "alloc"
) -> AllocationRule:
    return AllocationRule(id_, scope, month, parts)


def _line(
    amount: str, *shares: DocumentShare, operation: str = "customs/check", position: int = 1
) -> DocumentLine:
    return DocumentLine(
        position=position,
        service=operation.partition("/")[0],
        operation=operation,
        price_version="price",
        usage_period="2026-10",
        correction=False,
        calls=1,
        units="1",
        amount=amount,
        precise_amount=amount,
        tiers=(),
        shares=shares,
    )


def _share(centre: str, units: str, calls: int = 1) -> DocumentShare:
    return DocumentShare("app", "shop", centre, NAMES.get(centre, ""), calls, units)


def _document(*lines: DocumentLine) -> Document:
    total = sum((Decimal(line.amount) for line in lines), Decimal("0.00"))
    return Document(
        id="inv_live_bu-06_2026-10",
        kind="statement",
        state="issued",
        number="S-2026-000001",
        account_id="bu-06",
        recipient={},
        environment="live",
        period="2026-10",
        timezone="Asia/Shanghai",
        starts_at="",
        ends_at="",
        currency="CNY",
        issued_at=None,
        missing=(),
        lines=lines,
        services=(),
        calls=1,
        total=plain(total),
    )


def test_octobers_checks_are_split_55_25_20() -> None:
    found = charged_back(_document(_line("411.20")), [_rule("customs/check", "2026-08")], NAMES)
    assert [(part.cost_centre, part.amount, part.percent) for part in found.lines[0].parts] == [
        ("logistics", "226.16", "55"),
        ("legal", "102.80", "25"),
        ("IT", "82.24", "20"),
    ]
    assert [(one.cost_centre, one.amount) for one in found.cost_centres] == [
        ("IT", "82.24"),
        ("legal", "102.80"),
        ("logistics", "226.16"),
    ]
    assert [(entry.account, entry.amount) for entry in found.journal] == [
        ("bill", "-411.20"),
        ("cost_centre:cc_a", "226.16"),
        ("cost_centre:cc_b", "102.80"),
        ("cost_centre:cc_c", "82.24"),
    ]


def test_the_narrowest_rule_in_force_decides_and_an_empty_one_ends_it() -> None:
    rules = [
        _rule("", "2026-01", id_="all"),
        _rule("customs", "2026-02", id_="service"),
        _rule("customs/check", "2026-03", id_="operation"),
        _rule("customs/check", "2026-05", (), id_="ended"),
    ]

    def found(operation: str, month: int) -> str | None:
        rule = rule_for(rules, operation.partition("/")[0], operation, Period(2026, month))
        return None if rule is None else rule.id

    assert found("customs/check", 1) == "all"
    assert found("customs/check", 2) == "service"
    assert found("customs/check", 3) == "operation"
    assert found("customs/check", 5) == "service"
    assert found("customs/*", 3) == "service"
    assert found("address/validate", 3) == "all"
    assert rule_for(rules, "customs", "customs/check", Period(2025, 12)) is None


def test_without_a_rule_who_used_it_bears_it_and_the_account_the_rest() -> None:
    used = _line("1.00", _share("cc_a", "2"), _share("cc_b", "1"), _share("", "1"))
    free = _line("0.00", _share("cc_a", "0", 3), _share("cc_b", "0", 1), position=2)
    fee = _line("2.00", operation="account/*", position=3)
    found = charged_back(_document(used, free, fee), [], NAMES)
    assert [line.basis for line in found.lines] == ["usage", "usage", "none"]
    assert [(one.cost_centre, one.amount) for one in found.cost_centres] == [
        ("", "2.25"),
        ("legal", "0.25"),
        ("logistics", "0.50"),
    ]


@given(
    st.lists(st.integers(-(10**7), 10**7), min_size=1, max_size=6),
    st.lists(st.integers(1, 49), min_size=2, max_size=2),
    st.booleans(),
)
def test_parts_sum_to_every_line_and_the_journal_to_zero(
    amounts: list[int], percents: list[int], with_rule: bool
) -> None:
    first, second = sorted(percents)
    parts = (
        AllocationPart("cc_a", str(first)),
        AllocationPart("cc_b", f"{Decimal(second) / 2}"),
        AllocationPart("cc_c", f"{100 - first - Decimal(second) / 2}"),
    )
    lines = [
        replace(
            _line(plain(Decimal(amount).scaleb(-2)), _share("cc_a", "3"), _share("cc_c", "4")), position=place
        )
        for place, amount in enumerate(amounts, 1)
    ]
    found = charged_back(_document(*lines), [_rule("", "2026-10", parts)] if with_rule else [], NAMES)
    for line, split in zip(lines, found.lines, strict=True):
        assert sum(Decimal(part.amount) for part in split.parts) == Decimal(line.amount)
    assert sum(Decimal(entry.amount) for entry in found.journal) == 0
    assert sum(Decimal(one.amount) for one in found.cost_centres) == Decimal(found.total)
