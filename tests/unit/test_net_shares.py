"""What an invoice of less than nothing gives back: for the services that it lowers, on the invoices that charged for them."""

from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from billing.invoice.net_shares import Creditable, owed_by_service, place

SEPTEMBER, OCTOBER = date(2026, 9, 1), date(2026, 10, 1)
SERVICES = ("account", "freight", "stock", "tax")


def cents(least: int, most: int) -> st.SearchStrategy[Decimal]:
    return st.integers(least, most).map(lambda minor: Decimal(minor).scaleb(-2))


def _of(**amounts: str) -> dict[str, Decimal]:
    return {service: Decimal(amount) for service, amount in amounts.items()}


def test_what_is_charged_for_others_is_set_off_against_what_is_taken_back() -> None:
    cells = {
        ("stock", SEPTEMBER): Decimal(-90),
        ("address", SEPTEMBER): Decimal(-30),
        ("address", OCTOBER): Decimal(20),
        ("freight", OCTOBER): Decimal(40),
        ("tax", OCTOBER): Decimal(-6),
    }
    assert owed_by_service(cells, Decimal(66), "CNY") == _of(address="6.00", stock="54.00", tax="6")
    assert list(owed_by_service(cells, Decimal(66), "CNY")) == ["address", "stock", "tax"]


def test_each_service_is_credited_where_it_was_charged_and_tax_beside_it() -> None:
    invoices = [
        Creditable("october", "2", Decimal(106), _of(stock="50", tax="6")),
        Creditable("september", "1", Decimal(212), _of(stock="200", tax="12")),
    ]
    assert place(_of(stock="80", tax="4.80"), invoices, "CNY") == {
        "october": _of(stock="50", tax="3.00"),
        "september": _of(stock="30", tax="1.80"),
    }


def test_what_has_no_room_where_it_was_charged_is_credited_wherever_anything_is_left() -> None:
    invoices = [
        Creditable("october", "2", Decimal(30), _of(stock="10")),
        Creditable("september", "1", Decimal(5), _of(stock="-5")),
    ]
    assert place(_of(stock="20"), invoices, "CNY") == {"october": _of(stock="20")}
    assert place(_of(stock="80"), invoices, "CNY") == {
        "october": _of(stock="30"),
        "september": _of(stock="5"),
    }


@given(
    st.dictionaries(st.tuples(st.sampled_from(SERVICES), st.sampled_from((SEPTEMBER, OCTOBER))), cents(-9000, 9000)),
    st.lists(st.tuples(cents(-50, 9000), st.dictionaries(st.sampled_from(SERVICES), cents(-500, 9000))), max_size=3),
)  # fmt: skip
def test_all_that_is_owed_is_given_back_as_far_as_anything_is_left(
    cells: dict[tuple[str, date], Decimal], rooms: list[tuple[Decimal, dict[str, Decimal]]]
) -> None:
    owed = -sum(cells.values(), Decimal(0))
    if owed <= 0:
        return
    by_service = owed_by_service(cells, owed, "CNY")
    assert sum(by_service.values()) == owed
    nets = {name: sum(amount for (one, _), amount in cells.items() if one == name) for name in by_service}
    assert all(net < 0 < by_service[name] for name, net in nets.items())
    invoices = [Creditable(str(n), str(n), left, charged) for n, (left, charged) in enumerate(rooms)]
    placed = place(by_service, invoices, "CNY")
    for one in invoices:
        lines = placed.get(one.invoice_id, {})
        assert all(amount > 0 for amount in lines.values())
        assert sum(lines.values()) <= max(one.left, Decimal(0))
    given_back = sum((amount for lines in placed.values() for amount in lines.values()), Decimal(0))
    assert given_back == min(owed, sum((max(one.left, Decimal(0)) for one in invoices), Decimal(0)))
