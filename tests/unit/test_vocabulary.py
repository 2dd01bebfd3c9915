"""Text becomes a month, an amount or a call's id only when it is written exactly as we write it."""

from decimal import Decimal
from uuid import UUID

import pytest

from catalog.vocabulary.ids import call_id_text, parse_call_id
from catalog.vocabulary.money import decimal_of
from catalog.vocabulary.period import Period

_ID = UUID("01a200a1-3b0c-7db6-aa1a-e258a18e0a2d")


@pytest.mark.parametrize(
    "text", ["2026-13", "2026-00", "0000-01", "26-01", "2026-1", "２０２６-10", "2026-10\n", " 2026-10"]
)
def test_a_month_is_four_digits_and_two(text: str) -> None:
    with pytest.raises(ValueError, match="calendar month"):
        Period.parse(text)


@pytest.mark.parametrize(
    "text", ["", "1e3", "NaN", "-", ".5", "5.", "+1", "１２", "1٫5", "1_000", "1\n", "9" * 19]
)
def test_an_amount_is_plain_digits(text: str) -> None:
    with pytest.raises(ValueError, match="decimal string"):
        decimal_of(text)


@pytest.mark.parametrize(
    "text",
    [_ID.hex, f"call_{_ID}", f"call_{_ID.hex.upper()}", f"call_+{_ID.hex[1:]}", f"call_{_ID.hex[:8]}_{_ID.hex[9:]}",
     f"call_{{{_ID.hex[:30]}}}", f"call_{_ID.hex}\n", f"call_٣{_ID.hex[1:]}"],
)  # fmt: skip
def test_a_call_id_has_one_spelling(text: str) -> None:
    with pytest.raises(ValueError, match="32 hexadecimal digits, in lower case"):
        parse_call_id(text)


def test_what_is_written_as_we_write_it_is_read() -> None:
    assert str(Period.parse("2026-10")) == "2026-10"
    assert decimal_of("-12.50") == Decimal("-12.50")
    assert parse_call_id(call_id_text(_ID)) == _ID
