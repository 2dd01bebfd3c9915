"""What credit paid of a document that is lowered comes back to the grants, can be spent again, and every book agrees."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import asyncpg
import pytest

from billing.allowance import Holder, Taken, Wanted, take
from billing.audit.compare import compare
from billing.desk import CreditLine, close, issue_credit_note
from billing.invoice.credited_by import CreditReason
from billing.invoice.dispute import accept_dispute
from billing.prepaid.expire import expire_credit
from billing.transaction import all_accounts, one_snapshot
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from tests.prepaid_books import NOVEMBER_2, OCTOBER_5, SEPTEMBER_1, all_agree, give, grants, ledger, spend
from tests.usage_books import FALLING, PROFILE, add_account, add_price, call, use

OCTOBER, NOVEMBER = Period(2026, 10), Period(2026, 11)
NOVEMBER_5, DECEMBER_3 = datetime(2026, 11, 5, tzinfo=UTC), datetime(2026, 12, 3, tzinfo=UTC)
INVOICE = "inv_live_acct_a_2026-10"
HUNDRED = Decimal("100.00")


async def _open(admin: asyncpg.Connection, kind: str = "external") -> None:
    await add_account(admin, "acct_a", kind, profile=PROFILE)
    await add_price(admin, "price", model="volume", price=FALLING)


async def _october(pool: asyncpg.Pool) -> None:
    """A document of 100.00."""
    await use(pool, [call("acct_a", OCTOBER_5) for _ in range(10)])
    await close(pool, OCTOBER, ManualClock(NOVEMBER_2))


async def _lower(
    pool: asyncpg.Pool,
    amount: str,
    source: str = "test:1",
    reason: CreditReason = "correction",
    now: datetime = NOVEMBER_2,
) -> None:
    async with all_accounts(pool) as connection:
        lines = [CreditLine("address", "too much", Decimal(amount))]
        await issue_credit_note(connection, INVOICE, reason, source, lines, now)


async def _less_than_nothing(pool: asyncpg.Pool) -> None:
    """Late calls lower October's 100.00 to 20.00, and November's calls cost 50.00: 30.00 less than nothing."""
    late = [call("acct_a", OCTOBER_5) for _ in range(10)]
    await use(pool, late + [call("acct_a", NOVEMBER_5) for _ in range(5)])
    await close(pool, NOVEMBER, ManualClock(DECEMBER_3))


async def _take(pool: asyncpg.Pool, need: Decimal) -> Taken:
    wanted = Wanted("acct_a", "live", "credit", "", NOVEMBER.first_day, NOVEMBER_2, NOVEMBER.first_day, need)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('ordergate.account', 'acct_a', true)")
        holder = Holder(uuid4(), uuid4())
        return await take(connection, holder, wanted, NOVEMBER_5, NOVEMBER_5 + timedelta(seconds=30))


async def test_what_a_credit_note_gives_back_of_a_paid_invoice_comes_back_to_its_grant_and_is_spent_again(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, gateway_pool: asyncpg.Pool
) -> None:
    await _open(admin)
    grant = await give(billing_pool, "100.00")
    await spend(admin, grant, "100.00")
    await _october(billing_pool)
    assert not (await _take(gateway_pool, Decimal("0.01"))).leases
    for _ in range(2):
        await _lower(billing_pool, "30.00")
        assert await ledger(billing_pool) == {
            "bank": HUNDRED,
            "earnings:address": Decimal("-70.00"),
            "prepaid": Decimal("-30.00"),
        }
    (found,) = await grants(billing_pool)
    assert (found.id, found.applied, found.used) == (grant.id, Decimal("70.00"), Decimal("70.00"))
    told = await admin.fetchval("SELECT payload FROM catalog.outbox WHERE kind = 'credit.restored'")
    assert INVOICE in told
    assert grant.id in told
    await all_agree(billing_pool)
    assert not (await _take(gateway_pool, Decimal("30.01"))).leases
    assert sum(one.amount for one in (await _take(gateway_pool, Decimal("30.00"))).leases) == Decimal("30.00")


async def test_a_note_lowers_first_what_credit_did_not_pay(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _open(admin)
    await give(billing_pool, "60.00")
    await _october(billing_pool)
    await _lower(billing_pool, "30.00")
    assert (await ledger(billing_pool))["receivable"] == Decimal("10.00")
    assert (await grants(billing_pool))[0].applied == Decimal("60.00")
    await _lower(billing_pool, "30.00", "test:2")
    assert "receivable" not in await ledger(billing_pool)
    assert (await grants(billing_pool))[0].applied == Decimal("40.00")
    await all_agree(billing_pool)


async def test_the_grant_that_was_drawn_from_last_gets_its_part_first(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _open(admin)
    await give(billing_pool, "70.00", priority=1, category="promotional")
    await give(billing_pool, "50.00", priority=2)
    await _october(billing_pool)
    await _lower(billing_pool, "40.00")
    assert [one.applied for one in await grants(billing_pool)] == [Decimal("60.00"), 0]
    await all_agree(billing_pool)


async def test_a_dispute_that_is_accepted_gives_credit_back_and_one_that_the_bank_decided_does_not(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _open(admin)
    await give(billing_pool, "100.00")
    await _october(billing_pool)
    await admin.execute("SET ordergate.account = '*'")
    await admin.execute(
        "INSERT INTO billing.dispute VALUES ('dsp_a', 'acct_a', 'live', $1, "
        "'usage address/validate 2026-10 price', 'address', 'address/validate', NULL, "
        "'CNY', 14.00, 'no', $2, 'key/x')",
        INVOICE,
        NOVEMBER_2,
    )
    await admin.execute("INSERT INTO billing.dispute_hold VALUES ('dsp_a', 'acct_a', 14.00, $1)", NOVEMBER_2)
    assert (await ledger(billing_pool))["receivable"] == Decimal("-14.00"), "it is held, not decided"
    async with all_accounts(billing_pool) as connection:
        await accept_dispute(connection, "dsp_a", "yes", "operator@test", NOVEMBER_2)
    await _lower(billing_pool, "1.00", "test:2", "dispute_lost")
    assert (await grants(billing_pool))[0].applied == Decimal("86.00")
    assert {"receivable", "disputed"} & (await ledger(billing_pool)).keys() == {"disputed"}
    await all_agree(billing_pool)


@pytest.mark.parametrize("kind", ["external", "internal"])
async def test_a_document_of_less_than_nothing_gives_back_what_paid_the_months_that_it_corrects(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, kind: str
) -> None:
    await _open(admin, kind)
    await give(billing_pool, "100.00")
    await _october(billing_pool)
    await _less_than_nothing(billing_pool)
    assert await ledger(billing_pool) == {
        "bank": HUNDRED,
        "earnings:address": Decimal("-70.00"),
        "prepaid": Decimal("-30.00"),
    }
    assert (await grants(billing_pool))[0].used == Decimal("70.00")
    await all_agree(billing_pool)
    await close(billing_pool, NOVEMBER, ManualClock(DECEMBER_3))
    assert await admin.fetchval("SELECT count(*) FROM billing.credit_restoration") == 1


async def test_a_statement_of_less_than_nothing_lowers_first_what_credit_did_not_pay(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _open(admin, "internal")
    await give(billing_pool, "80.00")
    await _october(billing_pool)
    await _less_than_nothing(billing_pool)
    assert "receivable" not in await ledger(billing_pool)
    assert (await grants(billing_pool))[0].applied == Decimal("70.00")
    await all_agree(billing_pool)


@pytest.mark.parametrize("booked", [True, False])
async def test_paid_credit_whose_time_is_over_comes_back_as_a_grant_for_as_long_again(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, booked: bool
) -> None:
    await _open(admin)
    until = datetime(2026, 11, 1, tzinfo=UTC)
    old = await give(billing_pool, "120.00", valid_until=until, priority=7)
    await _october(billing_pool)
    if booked:
        assert await expire_credit(billing_pool, ManualClock(NOVEMBER_2)) == 1
    await _lower(billing_pool, "30.00")
    await expire_credit(billing_pool, ManualClock(NOVEMBER_2))
    first, new = sorted(await grants(billing_pool), key=lambda one: one.granted_at)
    assert (first.id, first.applied, first.expired) == (old.id, HUNDRED, Decimal("20.00"))
    assert (new.amount, new.priority, new.used) == (Decimal("30.00"), 7, Decimal(0))
    assert new.category == "paid"
    assert (new.valid_from, new.valid_until) == (NOVEMBER_2, NOVEMBER_2 + (until - SEPTEMBER_1))
    assert await ledger(billing_pool) == {
        "bank": Decimal("120.00"),
        "breakage": Decimal("-20.00"),
        "earnings:address": Decimal("-70.00"),
        "prepaid": Decimal("-30.00"),
    }
    await all_agree(billing_pool)


async def test_credit_that_was_a_gift_ends_with_its_time_whatever_is_corrected_later(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _open(admin)
    until = datetime(2026, 11, 1, tzinfo=UTC)
    await give(billing_pool, "100.00", valid_until=until, category="promotional")
    await _october(billing_pool)
    await _lower(billing_pool, "30.00")
    # 70.00 were earned, and 70.00 were given away for it.
    assert await ledger(billing_pool) == {
        "promotions": Decimal("70.00"),
        "earnings:address": Decimal("-70.00"),
    }
    assert len(await grants(billing_pool)) == 1
    assert not await admin.fetchval("SELECT count(*) FROM catalog.outbox WHERE kind = 'credit.restored'")
    await all_agree(billing_pool)


async def test_where_a_provider_collects_by_now_paid_credit_is_owed_in_money_and_a_gift_ends(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _open(admin)
    await give(billing_pool, "40.00", category="promotional", priority=1)
    await give(billing_pool, "60.00", priority=2)
    await _october(billing_pool)
    await admin.execute(
        "INSERT INTO billing.payment_account VALUES ('acct_a', true, 30, '{1}', NULL, $1)", NOVEMBER_2
    )
    await _lower(billing_pool, "70.00")
    assert (await ledger(billing_pool))["receivable"] == Decimal("-60.00")
    assert (await ledger(billing_pool))["promotions"] == Decimal("30.00")
    await all_agree(billing_pool)


async def test_what_was_lowered_before_credit_came_back_comes_back_with_the_next_document(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _open(admin)
    await give(billing_pool, "100.00")
    await _october(billing_pool)
    await _lower(billing_pool, "30.00")
    # As an installation stood before there was any restoring.
    await admin.execute("SET session_replication_role = replica")
    await admin.execute("DELETE FROM billing.credit_restoration")
    await admin.execute(
        "WITH gone AS (DELETE FROM billing.ledger_transaction WHERE kind = 'restoration' RETURNING id) "
        "DELETE FROM billing.posting WHERE transaction_id IN (TABLE gone)"
    )
    await admin.execute("UPDATE billing.allowance SET used = 100")
    assert (await ledger(billing_pool))["receivable"] == Decimal("-30.00")
    async with one_snapshot(billing_pool) as connection:
        found = await compare(connection, "live")
    assert found.money_diff == Decimal("30.00")
    assert found.differences == (
        "live INV-2026-000001: lowered so that 30.00 of the credit that paid it come back, restored are 0",
    )
    await use(billing_pool, [call("acct_a", NOVEMBER_5)])
    await close(billing_pool, NOVEMBER, ManualClock(DECEMBER_3))
    # Ten of the thirty pay November at once.
    assert await ledger(billing_pool) == {
        "bank": HUNDRED,
        "earnings:address": Decimal("-80.00"),
        "prepaid": Decimal("-20.00"),
    }
    await all_agree(billing_pool)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("UPDATE billing.credit_restoration SET amount = 29", "30.00 of the credit that paid it come back, restored are 29"),
        ("UPDATE billing.posting SET amount = amount * 2 WHERE ledger_account = 'receivable' AND amount = 30", "acct_a receivable 60.00 CNY is posted and not due"),
        ("DELETE FROM billing.credit_restoration", "acct_a prepaid -30.00 CNY is posted and not due"),
        ("UPDATE billing.allowance SET used = 100", "counted 100 used and 0 leased, due are 70.00 and 0"),
    ],
)  # fmt: skip
async def test_credit_that_did_not_come_back_as_the_books_say_is_found(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, change: str, sentence: str
) -> None:
    await _open(admin)
    await give(billing_pool, "100.00")
    await _october(billing_pool)
    await _lower(billing_pool, "30.00")
    await admin.execute("SET session_replication_role = replica")
    await admin.execute(change)
    async with one_snapshot(billing_pool) as connection:
        found = await compare(connection, "live")
    assert found.money_diff > 0
    assert any(sentence in difference for difference in found.differences), found.differences
