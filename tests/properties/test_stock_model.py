"""The stock service against a model that a few dictionaries can hold, for several owners, call by call."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import Any, ClassVar

import asyncpg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from msgspec import Struct

from catalog.vocabulary.clock import ManualClock, from_ns
from catalog.vocabulary.ids import Environment, new_id
from catalog.vocabulary.problem import Problem
from deploy.roles import GATEWAY
from tests.databases import DatabaseServer
from tests.stock_calls import START, StockCalls, create_account, unexplained

Key = tuple[str, str]
Lines = list[dict[str, Any]]

SKUS = ("A", "B")
WAREHOUSES = ("N", "S")
OWNERS: tuple[tuple[str, Environment], ...] = (("a", "live"), ("a", "test"), ("b", "live"))

# Mostly one owner, so that its calls meet each other; the others must never notice.
OWNER = st.sampled_from((*[OWNERS[0]] * 6, *OWNERS))
IDS = st.sampled_from(["r1", "r2", "r3", "r4", "r5", "r6"])
LINES: st.SearchStrategy[Lines] = st.lists(
    st.fixed_dictionaries(
        {
            "sku": st.sampled_from(SKUS),
            "quantity": st.integers(1, 8),
            "warehouse": st.none() | st.sampled_from(WAREHOUSES),
        }
    ),
    min_size=1,
    max_size=3,
)
TTL = st.integers(1, 20)


class ModelReservation(Struct):
    """What the model knows of a reservation: `held` is by line and key, `confirmed` by key once it was confirmed."""

    lines: Lines
    partial: bool
    held: dict[tuple[int, Key], int]
    expires_at: datetime
    confirmed: Counter[Key] | None = None
    released: bool = False

    def is_held(self, now: datetime) -> bool:
        """Whether its units are reserved at this moment."""
        return self.confirmed is None and not self.released and self.expires_at > now

    def total(self) -> Counter[Key]:
        """All its units by key."""
        units: Counter[Key] = Counter()
        for (_, key), quantity in self.held.items():
            units[key] += quantity
        return units


class ModelOwner(Struct):
    """The stock of one account in one environment."""

    good: Counter[Key]
    quarantined: Counter[Key]
    reservations: dict[str, ModelReservation]

    def reserved(self, now: datetime) -> Counter[Key]:
        """Units that are held now."""
        units: Counter[Key] = Counter()
        for one in self.reservations.values():
            if one.is_held(now):
                units.update(one.total())
        return units

    def available(self, now: datetime) -> Counter[Key]:
        """Units that can be reserved now."""
        units = Counter(self.good)
        units.subtract(self.reserved(now))
        return units

    def most(self, lines: Lines, now: datetime) -> int:
        """The most units of the lines that can be served."""
        free, total = self.available(now), 0
        for sku in SKUS:
            fixed: Counter[str] = Counter()
            open_ = 0
            for line in lines:
                if line["sku"] == sku and line["warehouse"] is None:
                    open_ += line["quantity"]
                elif line["sku"] == sku:
                    fixed[line["warehouse"]] += line["quantity"]
            served = sum(min(units, free[sku, warehouse]) for warehouse, units in fixed.items())
            total += served + min(open_, sum(free[sku, warehouse] for warehouse in WAREHOUSES) - served)
        return total


class StockMachine(RuleBasedStateMachine):
    """Each example has fresh accounts in one database, and a clock of its own."""

    runner: ClassVar[asyncio.Runner]
    pool: ClassVar[asyncpg.Pool]
    admin: ClassVar[asyncpg.Connection]

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(START)
        self.accounts = {name: new_id("acct") for name in ("a", "b")}
        for account in self.accounts.values():
            self.runner.run(create_account(self.admin, account))
        self.calls = {
            owner: StockCalls(self.pool, self.clock, self.accounts[owner[0]], owner[1]) for owner in OWNERS
        }
        self.model = {owner: ModelOwner(Counter(), Counter(), {}) for owner in OWNERS}

    @initialize()
    def fill(self) -> None:
        """The main owner starts with some of everything."""
        for sku in SKUS:
            for warehouse in WAREHOUSES:
                self.adjust(OWNERS[0], sku, warehouse, 10, False)

    @property
    def now(self) -> datetime:
        return from_ns(self.clock.now_ns())

    def call(self, owner: tuple[str, Environment], operation: str, **fields: Any) -> Any:
        """The reply, or the name of the refusal."""
        try:
            return self.runner.run(self.calls[owner](operation, **fields))
        except Problem as problem:
            return problem.type.name

    @rule(owner=OWNER, sku=st.sampled_from(SKUS), warehouse=st.sampled_from(WAREHOUSES),
          quantity=st.integers(-12, 24).filter(bool), quarantined=st.sampled_from([False, False, False, True]))  # fmt: skip
    def adjust(
        self, owner: tuple[str, Environment], sku: str, warehouse: str, quantity: int, quarantined: bool
    ) -> None:
        """Good units can be taken out down to what is reserved, quarantined ones down to none."""
        model, key = self.model[owner], (sku, warehouse)
        condition = "quarantined" if quarantined else "good"
        reply = self.call(
            owner,
            "adjust",
            sku=sku,
            warehouse=warehouse,
            quantity=quantity,
            reason="test",
            condition=condition,
        )
        stock = model.quarantined if quarantined else model.good
        free = model.quarantined[key] if quarantined else model.available(self.now)[key]
        if free + quantity < 0:
            assert reply == "insufficient-stock"
            return
        stock[key] += quantity
        assert reply.available == model.available(self.now)[key]

    @rule(
        owner=OWNER,
        sku=st.sampled_from(SKUS),
        warehouse=st.sampled_from(WAREHOUSES),
        excess=st.integers(0, 1),
    )
    def clear_out(self, owner: tuple[str, Environment], sku: str, warehouse: str, excess: int) -> None:
        """All that is available can be taken out, and not one unit more."""
        free = self.model[owner].available(self.now)[sku, warehouse]
        if free + excess:
            self.adjust(owner, sku, warehouse, -(free + excess), False)

    @rule(owner=OWNER, id_=IDS, lines=LINES, ttl_s=TTL, partial=st.booleans())
    def reserve(
        self, owner: tuple[str, Environment], id_: str, lines: Lines, ttl_s: int, partial: bool
    ) -> None:
        """All or nothing, or as much as there is; from each warehouse no more than it has."""
        model = self.model[owner]
        reply = self.call(owner, "reserve", reservation_id=id_, lines=lines, ttl_s=ttl_s, partial=partial)
        if (known := model.reservations.get(id_)) is not None:
            self.check_repeated(known, lines, partial, reply)
            return
        wanted, most = sum(line["quantity"] for line in lines), model.most(lines, self.now)
        if most < wanted and not (partial and most):
            assert reply == "insufficient-stock"
            return
        held = {
            (position, (line.sku, part.warehouse)): part.reserved
            for position, line in enumerate(reply.lines)
            for part in line.allocations
        }
        assert sum(held.values()) == most
        assert [(line.sku, line.quantity, line.warehouse) for line in reply.lines] == [
            (line["sku"], line["quantity"], line["warehouse"]) for line in lines
        ]
        for (position, (_, warehouse)), quantity in held.items():
            assert lines[position]["warehouse"] in (None, warehouse)
            assert 0 < quantity <= lines[position]["quantity"]
        expires_at = self.now + timedelta(seconds=ttl_s)
        assert reply.expires_at == expires_at
        model.reservations[id_] = ModelReservation(lines, partial, held, expires_at)
        assert all(units >= 0 for units in model.available(self.now).values())

    def check_repeated(self, known: ModelReservation, lines: Lines, partial: bool, reply: Any) -> None:
        """An id in use answers for its own request only, and only while it is held."""
        if partial != known.partial or sorted(map(str, lines)) != sorted(map(str, known.lines)):
            assert reply == "reservation-exists"
        elif not known.is_held(self.now):
            assert reply == "reservation-closed"
        else:
            assert reply.expires_at == known.expires_at
            assert sum(line.reserved for line in reply.lines) == sum(known.held.values())

    @rule(owner=OWNER, id_=IDS, sku=st.sampled_from(SKUS), ttl_s=TTL)
    def reserve_the_last_unit(self, owner: tuple[str, Environment], id_: str, sku: str, ttl_s: int) -> None:
        """Whatever is available can be had to the last unit."""
        free = sum(units for key, units in self.model[owner].available(self.now).items() if key[0] == sku)
        self.reserve(owner, id_, [{"sku": sku, "quantity": max(free, 1), "warehouse": None}], ttl_s, False)

    @rule(owner=OWNER, id_=IDS)
    def repeat(self, owner: tuple[str, Environment], id_: str) -> None:
        """The same request once more changes nothing."""
        if (known := self.model[owner].reservations.get(id_)) is not None:
            self.reserve(owner, id_, known.lines, 20, known.partial)

    @rule(owner=OWNER, id_=IDS, part=st.none() | st.tuples(st.integers(0, 2), st.integers(1, 6)))
    def confirm(self, owner: tuple[str, Environment], id_: str, part: tuple[int, int] | None) -> None:
        """All its units leave the stock, or some of one key; the rest is free."""
        model = self.model[owner]
        if (known := model.reservations.get(id_)) is None:
            assert self.call(owner, "confirm", reservation_id=id_) == "reservation-not-found"
            return
        asked, fields = known.total(), {}
        if part is not None:
            keys = sorted(asked)
            key, quantity = keys[part[0] % len(keys)], part[1]
            asked = Counter({key: quantity})
            fields["lines"] = [{"sku": key[0], "quantity": quantity, "warehouse": key[1]}]
        reply = self.call(owner, "confirm", reservation_id=id_, **fields)
        if known.confirmed is None and not known.is_held(self.now):
            assert reply == "reservation-closed"
        elif not asked <= known.total():
            assert reply == "invalid-input"
        elif known.confirmed is not None and known.confirmed != asked:
            assert reply == "reservation-closed"
        else:
            assert reply.state == "confirmed"
            assert sum(line.confirmed for line in reply.lines) == asked.total()
            if known.confirmed is None:
                model.good.subtract(asked)
                known.confirmed = asked

    @rule(owner=OWNER, id_=IDS)
    def release(self, owner: tuple[str, Environment], id_: str) -> None:
        """The units are free; once only, and never after a confirmation."""
        known = self.model[owner].reservations.get(id_)
        reply = self.call(owner, "release", reservation_id=id_)
        if known is None:
            assert reply == "reservation-not-found"
        elif known.confirmed is not None:
            assert reply == "reservation-closed"
        elif known.released or known.is_held(self.now):
            assert reply.state == "released"
            known.released = True
        else:
            assert reply.state == "expired"

    @rule(owner=OWNER, id_=IDS, ttl_s=TTL)
    def extend(self, owner: tuple[str, Environment], id_: str, ttl_s: int) -> None:
        """The expiry moves, but never to an earlier moment."""
        known = self.model[owner].reservations.get(id_)
        reply = self.call(owner, "extend", reservation_id=id_, ttl_s=ttl_s)
        if known is None:
            assert reply == "reservation-not-found"
        elif not known.is_held(self.now):
            assert reply == "reservation-closed"
        else:
            known.expires_at = max(known.expires_at, self.now + timedelta(seconds=ttl_s))
            assert reply.expires_at == known.expires_at

    @rule(seconds=st.integers(1, 12))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.clock.advance(seconds)

    @rule(owner=OWNER, id_=IDS, successor=IDS)
    def take_over(self, owner: tuple[str, Environment], id_: str, successor: str) -> None:
        """At exactly the moment at which a reservation expires, its units are another's for the asking."""
        known = self.model[owner].reservations.get(id_)
        if known is not None and known.is_held(self.now):
            self.clock.advance((known.expires_at - self.now).total_seconds())
            self.reserve_the_last_unit(owner, successor, min(known.total())[0], 10)

    @rule()
    def sweep(self) -> None:
        """Bookkeeping that no answer depends on."""
        self.runner.run(self.calls[OWNERS[0]].sweep())

    @invariant()
    def every_owner_sees_what_the_model_says(self) -> None:
        """On hand, reserved, quarantined and available, for every owner, whoever acted."""
        for owner, model in self.model.items():
            seen = {
                (level.sku, level.warehouse): (
                    level.on_hand,
                    level.reserved,
                    level.quarantined,
                    level.available,
                )
                for level in self.call(owner, "availability", skus=list(SKUS)).levels
            }
            reserved, available = model.reserved(self.now), model.available(self.now)
            for key in [(sku, warehouse) for sku in SKUS for warehouse in WAREHOUSES]:
                on_hand = model.good[key] + model.quarantined[key]
                expected = (on_hand, reserved[key], model.quarantined[key], available[key])
                assert seen.get(key, (0, 0, 0, 0)) == expected

    @invariant()
    def movements_and_held_lines_explain_every_level(self) -> None:
        """The books of the database agree with each other."""
        assert self.runner.run(unexplained(self.admin)) == []


def test_stock_behaves_like_its_model(database_server: DatabaseServer) -> None:
    with asyncio.Runner() as runner:
        database = runner.run(database_server.create())

        async def connect() -> tuple[asyncpg.Pool, asyncpg.Connection]:
            pool = await asyncpg.create_pool(**database.as_role(GATEWAY), min_size=1, max_size=1)
            return pool, await asyncpg.connect(**database.admin())

        StockMachine.runner = runner
        StockMachine.pool, StockMachine.admin = runner.run(connect())
        try:
            run_state_machine_as_test(
                StockMachine,
                settings=settings(
                    max_examples=20,
                    stateful_step_count=25,
                    deadline=None,
                    suppress_health_check=[HealthCheck.too_slow],
                ),
            )
        finally:
            runner.run(StockMachine.admin.close())
            runner.run(StockMachine.pool.close())
            runner.run(database_server.drop(database))
