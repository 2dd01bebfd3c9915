"""Which reminder is due, and when an invoice is overdue on its payer's calendar."""

from datetime import UTC, datetime

import pytest

from billing.payment.reminder import days_overdue, due_stage


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
    issued = datetime(2026, 11, 1, 20, tzinfo=UTC)  # 2 November in Shanghai
    now = datetime(2026, 12, 2, 17, tzinfo=UTC)  # 3 December in Shanghai
    assert days_overdue(issued, 30, "Asia/Shanghai", now) == 1
    assert days_overdue(issued, 30, "UTC", now) == 1
    assert days_overdue(issued, 30, "Pacific/Honolulu", now) == 1
    assert days_overdue(issued, 30, "UTC", datetime(2026, 12, 1, 23, 59, tzinfo=UTC)) == 0
