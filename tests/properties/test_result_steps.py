"""In whatever order results are stated, withdrawn, declined and accepted: billed is what was accepted, share by share."""

import asyncio
from decimal import Decimal

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.result.step import Proof
from catalog.vocabulary.ids import parse_result_id
from catalog.vocabulary.money import round_money
from catalog.vocabulary.problem import Problem
from deploy.database import Database
from deploy.roles import BILLING, GATEWAY
from tests.databases import DatabaseServer
from tests.fakes.journal_disk import is_torture
from tests.result_books import PROVEN, ResultBooks, add_share, answered, everything
from tests.usage_books import add_account

LOW, HIGH, RATE = Decimal("0.07"), Decimal("33.33"), Decimal("0.123")
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(("call", "state", "restate", "withdraw", "decline", "accept", "rate")),
        st.decimals("0.001", "400", places=3),
        st.integers(0, 5),
    ),
    min_size=1,
    max_size=12,
)


def _share(value: Decimal) -> Decimal:
    return min(max(value * RATE, LOW), HIGH)


class _Model:
    """What every result is worth and what was said of it last."""

    def __init__(self) -> None:
        self.results: dict[str, tuple[str, Decimal, str]] = {}

    def billed(self) -> Decimal:
        lines: dict[str, Decimal] = {}
        for line, value, state in self.results.values():
            if state == "accepted":
                lines[line] = lines.get(line, Decimal(0)) + _share(value)
        return sum((round_money(one, "CNY") for one in lines.values()), Decimal(0))


async def _told(books: ResultBooks, model: _Model, what: str, value: Decimal, place: int) -> None:
    proof = Proof(value, Decimal(0), Decimal(1), "proof")
    if what == "call":
        await books.called(answered(str(value)))
    elif what == "state":
        await books.state(proof)
    elif what == "rate":
        await books.billed()
    elif what == "accept":
        if "stated" in {state for _, _, state in model.results.values()}:
            await books.accept_all()
    elif model.results:
        name = sorted(model.results)[place % len(model.results)]
        state = model.results[name][2]
        is_refused = state == "accepted" if what == "restate" else state != "stated"
        result_id = parse_result_id(name)
        try:
            if what == "restate":
                await books.restate(result_id, proof)
            elif what == "withdraw":
                await books.withdraw(result_id)
            else:
                await books.decline(result_id)
        except Problem:
            assert is_refused
        else:
            assert not is_refused


async def _lived(database: Database, steps: list[tuple[str, Decimal, int]]) -> None:
    everyone = {"ordergate.account": "*"}
    admin = await asyncpg.connect(**database.admin())
    try:
        async with (
            asyncpg.create_pool(**database.as_role(GATEWAY), min_size=1, max_size=2) as gateway,
            asyncpg.create_pool(**database.as_role(BILLING, everyone), min_size=1, max_size=2) as billing,
        ):
            terms = {"rate_pct": "12.3", "min": str(LOW), "max": str(HIGH)}
            await add_account(admin, "acct_a")
            await add_share(admin, "proven", PROVEN, terms)
            await add_share(admin, "saved", "customs/check", {**terms, "of": "/reply/saving"})
            books, model = ResultBooks(gateway, billing, admin), _Model()
            await books.called(answered(price="proven"))
            for what, value, place in steps:
                await _told(books, model, what, value, place)
                model.results = {
                    one.id: (one.operation, Decimal(one.result), one.state)
                    for one in (await books.statement()).data
                }
                accepted = {
                    name: value for name, (_, value, state) in model.results.items() if state == "accepted"
                }
                rows = await admin.fetch("SELECT units FROM billing.usage_event WHERE amends IS NOT NULL")
                assert sorted(row["units"] for row in rows) == sorted(accepted.values())
            assert await books.billed() == model.billed()
            assert await admin.fetchval("SELECT count(*) > 0 FROM billing.posting") == (model.billed() != 0)
            assert await everything(billing) == []
    finally:
        await admin.close()


@settings(
    max_examples=60 if is_torture() else 5,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=_STEPS)
def test_what_is_billed_is_what_was_accepted(
    database_server: DatabaseServer, steps: list[tuple[str, Decimal, int]]
) -> None:
    async def run() -> None:
        database = await database_server.create()
        try:
            await _lived(database, steps)
        finally:
            await database_server.drop(database)

    asyncio.run(run())
