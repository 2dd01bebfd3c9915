"""When a month is disputed and issued: a pure function of month, zone and policy."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.invoice.calendar import ISSUE_DAY_MAX, ClosePolicy, calendar_of
from catalog.vocabulary.period import Period

_ZONES = st.sampled_from(
    ["UTC", "Asia/Shanghai", "Asia/Dubai", "America/New_York", "Pacific/Apia", "Europe/Berlin"]
)
_PERIODS = st.builds(Period, st.integers(2000, 2100), st.integers(1, 12))


def test_october_in_shanghai_is_disputed_on_day_one_and_issued_on_day_two() -> None:
    calendar = calendar_of(Period(2026, 10), "Asia/Shanghai", ClosePolicy(1, 2))
    assert (calendar.draft_at, calendar.disputes_at, calendar.issue_at) == (
        datetime(2026, 10, 31, 16, tzinfo=UTC),
        datetime(2026, 11, 1, 16, tzinfo=UTC),
        datetime(2026, 11, 2, 16, tzinfo=UTC),
    )
    moments = [
        calendar.draft_at - timedelta(seconds=1),
        calendar.draft_at,
        calendar.disputes_at,
        calendar.issue_at,
    ]
    assert [calendar.stage(moment) for moment in moments] == ["running", "draft", "disputes", "due"]


def test_days_are_those_of_the_accounts_calendar_when_clocks_change() -> None:
    calendar = calendar_of(Period(2026, 10), "America/New_York", ClosePolicy(1, 2))
    assert calendar.disputes_at - calendar.draft_at == timedelta(hours=25)
    assert calendar.issue_at - calendar.disputes_at == timedelta(hours=24)


@given(_PERIODS, _ZONES, st.integers(0, ISSUE_DAY_MAX), st.integers(0, ISSUE_DAY_MAX))
def test_stages_follow_each_other_and_a_month_is_issued_before_the_next_one_ends(
    period: Period, zone: str, one: int, other: int
) -> None:
    policy = ClosePolicy(min(one, other), max(one, other))
    calendar = calendar_of(period, zone, policy)
    assert calendar.draft_at == period.bounds(zone)[1]
    assert calendar.draft_at <= calendar.disputes_at <= calendar.issue_at < period.next().bounds(zone)[1]
    order = ["running", "draft", "disputes", "due"]
    ranks = [
        order.index(calendar.stage(moment))
        for moment in sorted([calendar.draft_at - timedelta(days=1), calendar.disputes_at, calendar.issue_at])
    ]
    assert ranks == sorted(ranks)


@pytest.mark.parametrize("policy", [ClosePolicy(0, 0), ClosePolicy(0, 1)])
def test_what_is_issued_on_the_day_of_its_draft_is_due_at_once(policy: ClosePolicy) -> None:
    calendar = calendar_of(Period(2026, 2), "UTC", policy)
    assert calendar.stage(calendar.issue_at) == "due"
