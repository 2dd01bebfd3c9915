"""Proven results: stated by replies or by the provider, billed once their payer has accepted them, and never before."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import asyncpg
import msgspec
import pytest

from billing.invoice.month import Month
from billing.result.step import Proof
from catalog.vocabulary.clock import to_ns
from catalog.vocabulary.ids import new_event_id
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Problem
from tests.result_books import (
    NOON,
    NOVEMBER,
    PROVEN,
    SAMPLE,
    ResultBooks,
    add_share,
    answered,
    everything,
    of_call,
    open_books,
)
from tests.usage_books import add_price


@pytest.fixture
async def books(
    gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> ResultBooks:
    return await open_books(gateway_pool, billing_pool, admin)


async def test_nothing_is_posted_before_the_payer_accepts_and_then_its_share_to_the_cent(
    books: ResultBooks, billing_pool: asyncpg.Pool
) -> None:
    await books.called(answered(price="proven"))
    assert await books.posted() == 0
    stated = await books.state()
    assert stated.value == Decimal("5369998.30")
    assert await books.posted() == 0
    statement = await books.statement()
    assert (statement.open, statement.total.amount) == (1, "536999.83")
    assert [one.evidence for one in statement.data] == [SAMPLE.evidence]

    accepted = await books.accept("536999.83")
    assert (accepted.results, accepted.total.amount) == (1, "536999.83")
    assert await books.billed() == Decimal("536999.83")
    row = await books.admin.fetchrow(
        "SELECT calls_after, units_after FROM billing.rated_line ORDER BY id DESC LIMIT 1"
    )
    assert row is not None
    assert tuple(row) == (1, Decimal("5369998.30")), "a result is no call"
    assert await everything(billing_pool) == []


async def test_each_reply_states_a_result_and_its_share_is_bounded_by_itself(
    books: ResultBooks, billing_pool: asyncpg.Pool
) -> None:
    said = ("100", "2", "1234.56", "0", "", "-5", "abc", "1e3", "NaN")
    calls = [answered(saving) for saving in said]
    await books.called(*calls, answered("70", class_="declined"))
    statement = await books.statement()
    assert {one.id: (one.result, one.share.amount) for one in statement.data} == {
        of_call(calls[0]): ("100", "10.00"),
        of_call(calls[1]): ("2", "1.00"),
        of_call(calls[2]): ("1234.56", "50.00"),
    }
    assert statement.total.amount == "61.00"
    assert statement.operations[0].open.result == "1336.56"
    assert (await books.accept("61.00")).results == 3
    assert await books.billed() == Decimal("61.00")
    assert await everything(billing_pool) == []


async def test_after_more_calls_only_the_new_results_are_accepted(
    books: ResultBooks, billing_pool: asyncpg.Pool
) -> None:
    await books.called(answered("100"), answered("200"))
    assert (await books.accept("30.00")).results == 2
    with pytest.raises(Problem, match="No result of 2026-11 waits"):
        await books.accept("0.00")
    await books.called(answered("30"))
    assert (await books.accept("3.00")).results == 1
    assert await books.billed() == Decimal("33.00")
    assert await everything(billing_pool) == []


async def test_what_came_meanwhile_is_told_and_nothing_is_accepted(books: ResultBooks) -> None:
    await books.called(answered("100"))
    seen = (await books.statement()).total.amount
    await books.called(answered("200"))
    with pytest.raises(Problem, match=r"come to 30\.00 CNY now"):
        await books.accept(seen)
    assert await books.posted() == 0
    assert set((await books.states()).values()) == {"stated"}


async def test_what_was_declined_is_never_billed_unless_it_is_stated_anew(
    books: ResultBooks, billing_pool: asyncpg.Pool
) -> None:
    first, second = answered("100"), answered("200")
    await books.called(first, second)
    declined = await books.decline(first.uuid)
    assert (declined.state, declined.words) == ("declined", "not our saving")
    statement = await books.statement()
    (operation,) = statement.operations
    assert (operation.light, operation.declined.cost.amount, statement.total.amount) == (
        "bad",
        "10.00",
        "20.00",
    )
    assert (await books.accept_all()).results == 1
    assert await books.billed() == Decimal("20.00")
    with pytest.raises(Problem, match="The result is declined"):
        await books.decline(first.uuid)

    restated = await books.restate(
        first.uuid, Proof(Decimal(3), Decimal(2), Decimal(40), "forty and not a hundred")
    )
    assert (restated.state, restated.value, restated.evidence) == (
        "stated",
        Decimal(40),
        "forty and not a hundred",
    )
    assert (await books.accept("4.00")).results == 1
    assert await books.billed() == Decimal("24.00")
    for refused in (
        books.restate(first.uuid, SAMPLE),
        books.decline(first.uuid),
        books.withdraw(second.uuid),
    ):
        with pytest.raises(Problem, match="accepted"):
            await refused
    assert await everything(billing_pool) == []


async def test_a_stated_result_is_withdrawn_or_stated_anew_until_it_is_accepted(books: ResultBooks) -> None:
    await books.called(answered(price="proven"))
    stated = await books.state()
    assert (await books.withdraw(stated.result_id)).state == "withdrawn"
    assert (await books.statement()).total.amount == "0.00"
    with pytest.raises(Problem, match="withdrawn; only an open one"):
        await books.withdraw(stated.result_id)
    again = await books.restate(stated.result_id, Proof(Decimal(2), Decimal(1), Decimal(100), "recounted"))
    assert (again.state, again.value) == ("stated", Decimal(100))
    assert (await books.accept("10.00")).results == 1
    told = await books.admin.fetch("SELECT kind FROM catalog.outbox ORDER BY kind")
    assert [row["kind"] for row in told] == [
        "result.accepted",
        "result.stated",
        "result.stated",
        "result.withdrawn",
    ]
    actions = await books.admin.fetch("SELECT action, actor FROM catalog.audit ORDER BY seq")
    assert [tuple(row) for row in actions] == [
        ("result.stated", "provider"),
        ("result.withdrawn", "provider"),
        ("result.stated", "provider"),
        ("result.accept", "payer"),
    ]


async def test_two_results_on_one_call_are_two_results(books: ResultBooks, admin: asyncpg.Connection) -> None:
    await add_share(admin, "proven-2", PROVEN, {"rate_pct": "10", "max": "50"}, version=2)
    await books.called(answered(price="proven-2"))
    for _ in range(2):
        await books.state(Proof(Decimal(10), Decimal(0), Decimal(100), "a thousand"))
    assert (await books.accept("100.00")).results == 2
    assert await books.billed() == Decimal("100.00")


@pytest.mark.parametrize(
    ("proof", "refusal"),
    [
        (Proof(Decimal(1), Decimal(1), Decimal(10), "x"), "/measured: .* nothing was gained"),
        (Proof(Decimal(1), Decimal(2), Decimal(10), "x"), "/measured"),
        (Proof(Decimal(2), Decimal(1), Decimal(0), "x"), "/measured"),
        (Proof(Decimal(2), Decimal(1), Decimal(-1), "x"), "/volume"),
        (Proof(Decimal(-1), Decimal(-2), Decimal(1), "x"), "/baseline"),
        (Proof(Decimal(10) ** 18, Decimal(0), Decimal(1), "x"), "/baseline"),
        (Proof(Decimal(10) ** 9, Decimal(0), Decimal(10) ** 9, "x"), "/volume: .* at most 18 digits before"),
        (Proof(Decimal("0.1"), Decimal(0), Decimal("1E-20"), "x"), "/volume"),
        (
            Proof(Decimal("9" * 18 + "." + "9" * 20), Decimal(0), Decimal("1.00000000000000000001"), "x"),
            "/volume",
        ),
        (Proof(Decimal(2), Decimal(1), Decimal(1), " "), "/evidence: write 1 to 1000"),
        (Proof(Decimal(2), Decimal(1), Decimal(1), "x" * 1001), "/evidence"),
        (Proof(Decimal(2), Decimal(1), Decimal(1), "x\x00"), "/evidence"),
        (Proof(Decimal(2), Decimal(1), Decimal(1), "x\ud800"), "/evidence"),
    ],
)
async def test_a_proof_that_proves_nothing_is_refused(books: ResultBooks, proof: Proof, refusal: str) -> None:
    await books.called(answered(price="proven"))
    with pytest.raises(Problem, match=refusal):
        await books.state(proof)


async def test_a_result_needs_a_call_that_it_is_booked_on(
    books: ResultBooks, admin: asyncpg.Connection
) -> None:
    with pytest.raises(Problem, match=r"no operation 'customs/clasify'; did you mean `customs/classify`\?"):
        await books.state(operation="customs/clasify")
    await add_price(admin, "counted", "customs/certificate")
    with pytest.raises(
        Problem, match="price of customs/certificate is `per_unit`, under which calls are billed"
    ):
        await books.state(operation="customs/certificate")
    with pytest.raises(Problem, match="no answered call of customs/classify in the live 2026-11"):
        await books.state()
    await books.called(
        answered(price="proven", class_="declined"),
        answered(price="proven", moment=datetime(2026, 10, 31, 15, 59, tzinfo=UTC)),
        answered(price="proven", moment=datetime(2026, 11, 30, 16, tzinfo=UTC)),
        answered("5"),
    )
    with pytest.raises(Problem, match="no answered call"):
        await books.state()
    with pytest.raises(Problem, match="state their results themselves, at /reply/saving"):
        await books.state(operation="customs/check")
    await books.called(answered(price="proven", moment=datetime(2026, 10, 31, 16, tzinfo=UTC)))
    assert (await books.state()).state == "stated"


@pytest.mark.parametrize(("arrived", "admitted"), [((10, 31), (11, 1)), ((11, 30), (12, 1))])
async def test_a_call_that_arrives_before_midnight_has_its_result_in_the_month_in_which_it_is_admitted(
    books: ResultBooks, billing_pool: asyncpg.Pool, arrived: tuple[int, int], admitted: tuple[int, int]
) -> None:
    """Its id is from when its request arrived."""
    zone = ZoneInfo("Asia/Shanghai")
    before = datetime(2026, *arrived, 23, 59, 59, 998_000, tzinfo=zone)
    after = datetime(2026, *admitted, 0, 0, 0, 2_000, tzinfo=zone)
    month = Month("acct_a", "live", Period(2026, admitted[0]))
    event = msgspec.structs.replace(answered("100", moment=after), id=new_event_id(to_ns(before)).hex)
    await books.called(event, answered(price="proven", moment=after))
    assert (await books.statement(month)).total.amount == "10.00"
    assert (await books.statement(Month("acct_a", "live", month.period.previous()))).open == 0
    await books.accept("10.00", month)
    assert await books.billed() == Decimal("10.00")
    assert await everything(billing_pool) == []


async def test_a_result_belongs_to_the_price_of_its_call(
    books: ResultBooks, admin: asyncpg.Connection
) -> None:
    await add_share(admin, "saved-2", "customs/check", {"rate_pct": "20", "of": "/reply/saving"}, version=2)
    await books.called(answered("100"), answered("100", "saved-2"))
    assert (await books.accept("30.00")).results == 2
    assert await books.billed() == Decimal("30.00")
    rows = await admin.fetch(
        "SELECT price_version, sum(amount) FROM billing.rated_line GROUP BY 1 ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [("saved", Decimal(10)), ("saved-2", Decimal(20))]


async def test_a_price_of_units_that_follows_does_not_go_on_from_results(
    books: ResultBooks, admin: asyncpg.Connection
) -> None:
    tiers = [{"up_to": "10", "unit_price": "1"}, {"up_to": None, "unit_price": "0.5"}]
    await add_price(
        admin, "saved-3", "customs/check", "graduated", {"tiers": tiers, "minimum": "0.01"}, version=3
    )
    await books.called(
        answered("100"),
        *(answered("", "saved-3", NOON.replace(day=6), billable=True, units="1") for _ in range(3)),
    )
    await books.accept("10.00")
    assert await books.billed() == Decimal("13.00")


async def test_discounts_and_the_bounds_of_the_month_are_in_the_amount_that_is_accepted(
    books: ResultBooks, admin: asyncpg.Connection
) -> None:
    terms = {"rate_pct": "10", "discount_pct": "50", "maximum": "12.00"}
    await add_share(admin, "proven-2", PROVEN, terms, version=2)
    await books.called(answered(price="proven-2"))
    await books.state(Proof(Decimal(1), Decimal(0), Decimal("133.34"), "x"))
    await books.accept("6.67")
    assert await books.billed() == Decimal("6.67")
    await books.state(Proof(Decimal(1), Decimal(0), Decimal(1000), "y"))
    await books.accept("5.33")
    assert await books.billed() == Decimal("12.00")


async def test_what_is_shown_is_what_is_billed_however_many_digits_a_result_has(
    books: ResultBooks, admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_share(admin, "saved-2", "customs/check", {"rate_pct": "10", "of": "/reply/saving"}, version=2)
    saving = "100000000.04999999999999999999"
    await books.called(answered(saving, "saved-2"))
    statement = await books.statement()
    assert (statement.total.amount, statement.operations[0].open.result) == ("10000000.00", saving)
    await books.accept("10000000.00")
    assert await books.billed() == Decimal("10000000.00")
    assert await everything(billing_pool) == []


async def test_a_sandbox_has_results_of_its_own_in_its_own_time(
    books: ResultBooks, admin: asyncpg.Connection
) -> None:
    clock = datetime(2026, 12, 3, tzinfo=UTC)
    await admin.execute("UPDATE catalog.account SET test_clock = $1 WHERE id = 'acct_a'", clock)
    sandbox = Month("acct_a", "test", NOVEMBER)
    # A test call's id is of the time of day, its month that of the sandbox.
    event = msgspec.structs.replace(
        answered("100", environment="test"), id=new_event_id(to_ns(datetime(2026, 10, 2, tzinfo=UTC))).hex
    )
    await books.called(event, answered("10"))
    assert ((await books.statement()).total.amount, (await books.statement(sandbox)).total.amount) == (
        "1.00",
        "10.00",
    )
    with pytest.raises(Problem, match="There is no live result"):
        await books.decline(event.uuid)
    accepted = await books.accept("10.00", sandbox)
    assert (accepted.environment, accepted.accepted_at) == ("test", "2026-12-03T00:00:00Z")
    assert (await books.statement()).open == 1
    await books.billed()
    rows = await admin.fetch("SELECT environment, sum(amount) FROM billing.rated_line GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in rows] == [("live", Decimal(0)), ("test", Decimal(10))]
