"""Which reminder is due, and when an invoice is overdue on its payer's calendar."""

from datetime import UTC, date, datetime

import pytest

from billing.invoice.due import PaymentTerms
from billing.payment.owed import days_overdue, due_in_days
from billing.payment.reminder import due_stage


@pytest.mark.parametrize(
    ("overdue", "last", "expected"),
    [
        (-5, 0, None),
        (0, 0, None),
        (1, 0, 1),
        (13, 1, None),
        (14, 1, 2),
        (14, 0, 2),
        (99, 2, 3),
        (99, 3, None),
    ],
)
def test_the_highest_stage_that_is_reached_is_due_once(overdue: int, last: int, expected: int | None) -> None:
    assert due_stage((1, 14, 28), overdue, last) == expected


def test_without_stages_nobody_is_reminded() -> None:
    assert due_stage((), 1000, 0) is None


def test_the_payers_own_day_decides() -> None:
    due_on = date(2026, 12, 1)
    now = datetime(2026, 12, 2, 17, tzinfo=UTC)  # 3 December in Shanghai
    assert days_overdue(due_on, "Asia/Shanghai", now) == 2
    assert days_overdue(due_on, "UTC", now) == 1
    assert days_overdue(due_on, "Pacific/Honolulu", now) == 1
    assert days_overdue(due_on, "UTC", datetime(2026, 12, 1, 23, 59, tzinfo=UTC)) is None


def test_what_is_not_due_yet_is_due_in_so_many_days_and_not_overdue() -> None:
    due_on = date(2026, 12, 1)
    for now, in_days, overdue in (
        (datetime(2026, 11, 20, 12, tzinfo=UTC), 11, None),
        (datetime(2026, 11, 30, 23, 59, tzinfo=UTC), 1, None),
        (datetime(2026, 12, 1, 23, 59, tzinfo=UTC), 0, None),
        (datetime(2026, 12, 2, 0, 0, tzinfo=UTC), None, 1),
    ):
        assert due_in_days(due_on, "UTC", now) == in_days
        assert days_overdue(due_on, "UTC", now) == overdue
    assert due_in_days(None, "UTC", now) is days_overdue(None, "UTC", now) is None


def test_the_due_day_is_counted_on_the_payers_own_calendar() -> None:
    issued = datetime(2026, 11, 1, 20, tzinfo=UTC)  # 2 November in Shanghai
    terms = PaymentTerms(None, 30)
    assert terms.due_on(issued, "Asia/Shanghai") == date(2026, 12, 2)
    assert terms.due_on(issued, "UTC") == terms.due_on(issued, "Pacific/Honolulu") == date(2026, 12, 1)
    assert PaymentTerms(None, None).due_on(issued, "UTC") is None
