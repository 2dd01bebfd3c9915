"""When a month's draft stands, may be disputed and is issued: a pure function of month, zone and policy, and the policies.

Days are counted on the account's calendar. Day 0 begins when the month ends.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from billing.invoice.month import AccountKind
from billing.transaction import Connection
from catalog.registry import audit
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import FieldError, Problem

# A month is issued before the next one ends, so that documents come in the order of their months.
ISSUE_DAY_MAX = 27

# `running`: the month is not over. `draft`: it is, and figures may still move. `disputes`: the payer may object.
# `due`: it is issued with the next close.
Stage = Literal["running", "draft", "disputes", "due"]


class ClosePolicy(msgspec.Struct, frozen=True):
    """From which day after the month on a payer may dispute the draft, and from which day on it is issued."""

    disputes_day: int
    issue_day: int


# Documents are issued when the month is closed; so they are without a calendar.
AT_ONCE = ClosePolicy(0, 0)


class Calendar(msgspec.Struct, frozen=True):
    """When (UTC) each stage of a month begins."""

    draft_at: datetime
    disputes_at: datetime
    issue_at: datetime

    def stage(self, now: datetime) -> Stage:
        """Where the month stands at a moment."""
        if now >= self.issue_at:
            return "due"
        if now >= self.disputes_at:
            return "disputes"
        return "draft" if now >= self.draft_at else "running"


def calendar_of(period: Period, timezone: str, policy: ClosePolicy) -> Calendar:
    """The calendar of a month under a policy."""
    following = period.next().first_day

    def begins(day: int) -> datetime:
        local = following + timedelta(days=day)
        return datetime(local.year, local.month, local.day, tzinfo=ZoneInfo(timezone)).astimezone(UTC)

    return Calendar(begins(0), begins(policy.disputes_day), begins(policy.issue_day))


async def close_policies(connection: Connection) -> Mapping[AccountKind, ClosePolicy]:
    """What is configured, by kind of account; a kind that is not there is issued as soon as it is closed."""
    rows = await connection.fetch(
        "SELECT DISTINCT ON (kind) kind, disputes_day, issue_day FROM billing.close_calendar "
        "ORDER BY kind, revision DESC"
    )
    policies: dict[AccountKind, ClosePolicy] = {
        row["kind"]: ClosePolicy(row["disputes_day"], row["issue_day"]) for row in rows
    }
    return {kind: policy for kind, policy in policies.items() if policy != AT_ONCE}


async def set_close_policy(
    transaction: Connection, kind: AccountKind, policy: ClosePolicy, actor: str, now: datetime
) -> None:
    """Configure the calendar of a kind of account; both days 0 issue at once again. `Problem` invalid-input."""
    if not 0 <= policy.disputes_day <= policy.issue_day <= ISSUE_DAY_MAX:
        detail = f"days count from 0 to {ISSUE_DAY_MAX}, and disputes begin no later than the issue"
        raise Problem(
            "invalid-input",
            f"/issue_day: {detail}.",
            errors=(FieldError("/issue_day", "range", detail),),
        )
    await transaction.execute(
        "INSERT INTO billing.close_calendar (kind, revision, disputes_day, issue_day, set_at, set_by) "
        "SELECT $1, coalesce(max(revision), 0) + 1, $2, $3, $4, $5 FROM billing.close_calendar WHERE kind = $1",
        kind,
        policy.disputes_day,
        policy.issue_day,
        now,
        actor,
    )
    detail_of = {"disputes_day": policy.disputes_day, "issue_day": policy.issue_day}
    await audit.append(transaction, actor, "close.calendar", f"accounts/{kind}", detail_of, now)
