"""Month close: each account's own calendar, numbers without gaps, corrections instead of changes."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest

from billing.desk import CloseReport, close
from billing.invoice.month import Month
from billing.invoice.number import take_number
from billing.invoice.rate_pending import rate_pending
from billing.rebuild import verify
from billing.transaction import all_accounts
from billing.view import Document, document
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from tests.usage_books import GRADUATED, PROFILE, UNRATABLE, add_account, add_price, call, use

OCTOBER_5 = datetime(2026, 10, 5, tzinfo=UTC)
OCTOBER, NOVEMBER, DECEMBER = Period(2026, 10), Period(2026, 11), Period(2026, 12)


def _clock(*moment: int) -> ManualClock:
    return ManualClock(datetime(*moment, tzinfo=UTC))  # type: ignore[arg-type,misc]


async def _document(pool: asyncpg.Pool, account_id: str, period: Period) -> Document:
    async with all_accounts(pool) as connection:
        return await document(connection, Month(account_id, "live", period))


def _numbers(report: CloseReport) -> Mapping[str, str]:
    return {one.account_id: one.number for one in report.issued}


async def test_closing_issues_one_numbered_document_for_each_account_with_usage(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await add_account(admin, "acct_b")
    await add_account(admin, "acct_idle")
    await add_account(admin, "acct_x", kind="external", profile=PROFILE)
    await add_price(admin, "price")
    accounts = ("acct_a", "acct_b", "acct_x")
    await use(billing_pool, [call(account, OCTOBER_5) for account in accounts])
    await use(billing_pool, [call("acct_a", OCTOBER_5, environment="test")])
    report = await close(billing_pool, OCTOBER, _clock(2026, 11, 2))
    assert {(one.account_id, one.number) for one in report.issued} == {
        ("acct_a", "S-2026-000001"),
        ("acct_b", "S-2026-000002"),
        ("acct_x", "INV-2026-000001"),
        ("acct_a", "TS-2026-000001"),
    }
    again = await close(billing_pool, OCTOBER, _clock(2026, 11, 3))
    assert (again.issued, again.already_issued) == ((), 4)
    assert await verify(billing_pool, ()) == []


async def test_a_document_is_exact_and_explains_every_amount(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a", name="Qinyuan Beverages")
    await add_price(admin, "price", model="graduated", price=GRADUATED)
    await add_price(admin, "parse", "address/parse", price={"unit_price": "0.06"})
    await use(billing_pool, [call("acct_a", OCTOBER_5) for _ in range(14)])
    await rate_pending(billing_pool, _clock(2026, 10, 6))
    await use(billing_pool, [call("acct_a", OCTOBER_5) for _ in range(20)])
    await use(billing_pool, [call("acct_a", OCTOBER_5, operation="address/parse", price_version="parse")])
    await close(billing_pool, OCTOBER, _clock(2026, 11, 2))
    found = await _document(billing_pool, "acct_a", OCTOBER)
    assert (found.kind, found.state, found.total, found.calls) == ("statement", "issued", "1.85", 35)
    assert found.recipient["name"] == "Qinyuan Beverages"
    assert (found.starts_at, found.ends_at) == ("2026-09-30T16:00:00Z", "2026-10-31T16:00:00Z")
    parse, validate = found.lines
    assert (parse.operation, parse.amount) == ("address/parse", "0.06")
    assert (validate.calls, validate.units, validate.amount, validate.precise_amount) == (
        34,
        "34",
        "1.79",
        "1.7889",
    )
    assert [tier.amount for tier in validate.tiers] == ["0.55", "0.995", "0.2439"]
    assert [(share.application, share.cost_centre, share.calls) for share in validate.shares] == [
        ("Web shop", "电商平台", 34)
    ]
    assert [(one.service, one.amount) for one in found.services] == [("address", "1.85")]


@pytest.mark.parametrize(
    ("timezone", "last_of_october", "october_ends", "last_of_november", "november_ends"),
    [
        ("Asia/Jakarta", (10, 31, 16, 59, 59), (10, 31, 17), (11, 30, 16, 59, 59), (11, 30, 17)),
        ("Asia/Kathmandu", (10, 31, 18, 14, 59), (10, 31, 18, 15), (11, 30, 18, 14, 59), (11, 30, 18, 15)),
        # Clocks go back on 1 November 2026: October ends in summer time, November in winter time.
        ("America/New_York", (11, 1, 3, 59, 59), (11, 1, 4), (12, 1, 4, 59, 59), (12, 1, 5)),
    ],
)
async def test_the_accounts_own_clock_decides_the_month_and_when_it_can_be_closed(
    admin: asyncpg.Connection,
    billing_pool: asyncpg.Pool,
    timezone: str,
    last_of_october: tuple[int, ...],
    october_ends: tuple[int, ...],
    last_of_november: tuple[int, ...],
    november_ends: tuple[int, ...],
) -> None:
    def at(moment: tuple[int, ...]) -> datetime:
        return datetime(2026, *moment, tzinfo=UTC)  # type: ignore[arg-type,misc]

    await add_account(admin, "acct_a", timezone=timezone)
    await add_price(admin, "price")
    moments = (at(last_of_october), at(october_ends), at(last_of_november), at(november_ends))
    await use(billing_pool, [call("acct_a", moment) for moment in moments])
    too_early = ManualClock(at(october_ends) - timedelta(microseconds=1))
    refused = await close(billing_pool, OCTOBER, too_early)
    assert refused.issued == ()
    assert [(one.account_id, one.ends_at) for one in refused.not_ended] == [("acct_a", at(october_ends))]
    assert len((await close(billing_pool, OCTOBER, ManualClock(at(october_ends)))).issued) == 1
    assert len((await close(billing_pool, NOVEMBER, ManualClock(at(november_ends)))).issued) == 1
    calls = [(await _document(billing_pool, "acct_a", period)).calls for period in (OCTOBER, NOVEMBER)]
    assert calls == [1, 2]
    assert await admin.fetchval("SELECT count(*) FROM billing.unrated WHERE period = '2026-12-01'") == 1


async def test_late_calls_become_corrections_on_the_next_open_document_and_the_issued_one_stays(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await add_price(admin, "price", model="graduated", price=GRADUATED)
    await use(billing_pool, [call("acct_a", OCTOBER_5) for _ in range(30)])
    await close(billing_pool, OCTOBER, _clock(2026, 11, 2))
    issued = await _document(billing_pool, "acct_a", OCTOBER)
    late = [call("acct_a", OCTOBER_5, application_id="app_edge") for _ in range(5)]
    late += [call("acct_a", OCTOBER_5, operation="address/parse", price_version="")]
    await use(billing_pool, [*late, call("acct_a", datetime(2026, 11, 4, tzinfo=UTC))])
    await close(billing_pool, NOVEMBER, _clock(2026, 12, 2))

    assert await _document(billing_pool, "acct_a", OCTOBER) == issued
    november = await _document(billing_pool, "acct_a", NOVEMBER)
    own, parse, correction = november.lines
    assert (own.correction, own.usage_period, own.amount) == (False, "2026-11", "0.06")
    assert (parse.correction, parse.operation, parse.calls, parse.amount) == (
        True,
        "address/parse",
        1,
        "0.00",
    )
    assert (correction.correction, correction.usage_period, correction.calls) == (True, "2026-10", 5)
    # 35 calls cost 1.8160, 30 had cost 1.6805, billed as 1.68
    assert (correction.amount, correction.precise_amount) == ("0.14", "0.1355")
    assert correction.tiers[-1].step == "billed_before"
    assert sum(Decimal(tier.amount) for tier in correction.tiers) == Decimal("0.1355")
    assert [(share.application_id, share.calls) for share in correction.shares] == [("app_edge", 5)]
    rows = await admin.fetch(
        "SELECT corrects, step FROM billing.rated_line WHERE period = '2026-10-01' ORDER BY id"
    )
    first = await admin.fetchval(
        "SELECT min(id) FROM billing.rated_line WHERE operation = 'address/validate'"
    )
    assert sorted((row["corrects"] or 0, row["step"]) for row in rows) == [(0, 1), (0, 1), (first, 2)]
    assert await verify(billing_pool, ()) == []


async def test_a_correction_without_a_later_draft_opens_one_for_the_running_month(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await add_price(admin, "price")
    await use(billing_pool, [call("acct_a", OCTOBER_5)])
    await close(billing_pool, OCTOBER, _clock(2026, 11, 2))
    await use(billing_pool, [call("acct_a", OCTOBER_5)])
    await rate_pending(billing_pool, _clock(2026, 12, 2))
    assert (await _document(billing_pool, "acct_a", DECEMBER)).lines[0].correction


async def test_an_external_account_without_billing_details_keeps_its_draft_and_is_told_what_is_missing(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_x", kind="external", profile={"legal_name": "Hefei Trading Ltd"})
    await add_price(admin, "price")
    await use(billing_pool, [call("acct_x", OCTOBER_5)])
    report = await close(billing_pool, OCTOBER, _clock(2026, 11, 2))
    assert report.issued == ()
    assert [one.missing for one in report.left_draft] == [("address", "tax_id")]
    draft = await _document(billing_pool, "acct_x", OCTOBER)
    assert (draft.state, draft.number, draft.missing, draft.total) == (
        "draft",
        None,
        ("address", "tax_id"),
        "0.06",
    )

    await add_account(admin, "acct_y")
    await admin.execute(
        "UPDATE catalog.account SET billing_profile = $1 WHERE id = 'acct_x'",
        '{"legal_name": "Hefei Trading Ltd", "address": "1 Changjiang Road", "tax_id": "91340100MA2N0000X0"}',
    )
    # Closing a later month takes what was left open: documents come in the order of their months.
    await use(billing_pool, [call("acct_x", datetime(2026, 11, 9, tzinfo=UTC))])
    report = await close(billing_pool, NOVEMBER, _clock(2026, 12, 2))
    assert [(one.period, one.number) for one in report.issued] == [
        ("2026-10", "INV-2026-000001"),
        ("2026-11", "INV-2026-000002"),
    ]
    issued = await _document(billing_pool, "acct_x", OCTOBER)
    assert (issued.missing, issued.recipient["tax_id"]) == ((), "91340100MA2N0000X0")


async def test_an_issued_document_keeps_the_recipient_that_it_was_issued_to(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_x", kind="external", profile=PROFILE)
    await add_price(admin, "price")
    await use(billing_pool, [call("acct_x", OCTOBER_5)])
    await close(billing_pool, OCTOBER, _clock(2026, 11, 2))
    await admin.execute("UPDATE catalog.account SET billing_profile = NULL, name = 'Renamed'")
    found = await _document(billing_pool, "acct_x", OCTOBER)
    assert found.recipient == {"name": "acct_x", "title": {"en": "acct_x", "zh-CN": "沁源饮品"}, **PROFILE}


async def test_a_month_with_a_price_that_cannot_be_rated_stays_open_and_says_so(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    for account in ("acct_a", "acct_b"):
        await add_account(admin, account)
    await add_price(admin, "price")
    await add_price(admin, "credits", **UNRATABLE)
    await use(billing_pool, [call("acct_a", OCTOBER_5, price_version="credits"), call("acct_b", OCTOBER_5)])
    report = await close(billing_pool, OCTOBER, _clock(2026, 11, 2))
    assert _numbers(report) == {"acct_b": "S-2026-000001"}
    ((account, reason),) = [(one.account_id, one.reason) for one in report.left_draft]
    assert account == "acct_a"
    assert "uptime" in reason


async def test_closers_at_the_same_time_issue_each_document_once_and_leave_no_gap(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    accounts = [f"acct_{number:02}" for number in range(12)]
    for account in accounts:
        await add_account(admin, account)
    await add_price(admin, "price")
    await use(billing_pool, [call(account, OCTOBER_5) for account in accounts])
    clock = _clock(2026, 11, 2)
    reports = await asyncio.gather(
        *(close(billing_pool, OCTOBER, clock) for _ in range(3)), rate_pending(billing_pool, clock)
    )
    issued = [one for report in reports if isinstance(report, CloseReport) for one in report.issued]
    assert sorted(one.account_id for one in issued) == accounts
    assert sorted(one.number for one in issued) == [f"S-2026-{number:06}" for number in range(1, 13)]
    assert await verify(billing_pool, ()) == []


async def test_a_number_whose_transaction_is_lost_is_given_to_the_next_document(
    billing_pool: asyncpg.Pool,
) -> None:
    assert await _take_one(billing_pool) == "S-2026-000001"
    with pytest.raises(ConnectionError, match="S-2026-000002"):
        await _take_one_and_fail(billing_pool)
    async with all_accounts(billing_pool) as connection:
        assert await take_number(connection, "S-2026") == "S-2026-000002"
        waiting = asyncio.create_task(_take_one(billing_pool))
        done, _ = await asyncio.wait([waiting], timeout=0.1)
        assert not done
    assert await waiting == "S-2026-000003"


async def _take_one_and_fail(pool: asyncpg.Pool) -> None:
    async with all_accounts(pool) as connection:
        raise ConnectionError(await take_number(connection, "S-2026"))


async def _take_one(pool: asyncpg.Pool) -> str:
    async with all_accounts(pool) as connection:
        return await take_number(connection, "S-2026")
