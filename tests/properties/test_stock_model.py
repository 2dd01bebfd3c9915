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
from tests.stock_calls import START, StockCalls, create_account, oversold, unexplained

Key = tuple[str, str]
Lines = list[dict[str, Any]]

SKUS = ("A", "B")
WAREHOUSES = ("N", "S")
OwnerName = tuple[str, Environment]
OWNERS: tuple[OwnerName, ...] = (("a", "live"), ("a", "test"), ("b", "live"))
# The first owner lends the third some of SKU A.
LENDER, DEALER = OWNERS[0], OWNERS[2]
QUOTA = 9

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
GROUP = st.lists(st.tuples(IDS, LINES, TTL, st.booleans()), min_size=2, max_size=5)


class ModelReservation(Struct):
    """What the model knows of a reservation: `held` is by line and key, `confirmed` by key once it was confirmed."""

    lines: Lines
    partial: bool
    held: dict[tuple[int, Key], int]
    expires_at: datetime
    stock_of: OwnerName
    is_lent: bool = False
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
    """The stock and the rules of one account in one environment, and the reservations that it made."""

    good: Counter[Key]
    quarantined: Counter[Key]
    safety: Counter[Key]
    supplied: set[Key]
    reservations: dict[str, ModelReservation]
    promises_safety: bool = False
    holds: bool = False


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
        self.model = {owner: ModelOwner(Counter(), Counter(), Counter(), set(), {}) for owner in OWNERS}

    @initialize()
    def fill(self) -> None:
        """The main owner starts with some of everything."""
        for sku in SKUS:
            for warehouse in WAREHOUSES:
                self.adjust(OWNERS[0], sku, warehouse, 10, False)
        grantee = self.accounts[DEALER[0]]
        rule = {"channel": "dealer", "grantee": grantee, "skus": "A", "quota": QUOTA}
        self.call(LENDER, "configure", channels=[rule])

    @property
    def now(self) -> datetime:
        return from_ns(self.clock.now_ns())

    def reserved(self, owner: OwnerName) -> Counter[Key]:
        """Units of an owner that anybody holds now."""
        units: Counter[Key] = Counter()
        for model in self.model.values():
            for one in model.reservations.values():
                if one.stock_of == owner and one.is_held(self.now):
                    units.update(one.total())
        return units

    def available(self, owner: OwnerName) -> Counter[Key]:
        """Units that are good and that nobody holds now."""
        units = Counter(self.model[owner].good)
        units.subtract(self.reserved(owner))
        return units

    def held_keys(self, owner: OwnerName) -> set[Key]:
        """Keys of which new orders wait."""
        model, free = self.model[owner], self.available(owner)
        low = {key for key, safe in model.safety.items() if free[key] < safe}
        return low - model.supplied if model.holds else set()

    def promisable(self, owner: OwnerName) -> Counter[Key]:
        """Units that can be reserved now."""
        model, free, held = self.model[owner], self.available(owner), self.held_keys(owner)
        return Counter(
            {
                key: 0 if key in held else max(units - (0 if model.promises_safety else model.safety[key]), 0)
                for key, units in free.items()
            }
        )

    def most(self, owner: OwnerName, lines: Lines) -> int:
        """The most units of the lines that can be served."""
        free, total = self.promisable(owner), 0
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

    def quota_left(self) -> int:
        """Units of the channel that are neither held nor sold."""
        lent = [one for one in self.model[DEALER].reservations.values() if one.is_lent]
        sold = sum(one.confirmed.total() for one in lent if one.confirmed is not None)
        return QUOTA - sold - sum(one.total().total() for one in lent if one.is_held(self.now))

    def call(self, owner: OwnerName, operation: str, /, **fields: Any) -> Any:
        """The reply, or the name of the refusal."""
        try:
            return self.runner.run(self.calls[owner](operation, **fields))
        except Problem as problem:
            return problem.type.name

    @rule(owner=OWNER, sku=st.sampled_from(SKUS), warehouse=st.sampled_from(WAREHOUSES),
          quantity=st.integers(-12, 24).filter(bool), quarantined=st.sampled_from([False, False, False, True]))  # fmt: skip
    def adjust(self, owner: OwnerName, sku: str, warehouse: str, quantity: int, quarantined: bool) -> None:
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
        free = model.quarantined[key] if quarantined else self.available(owner)[key]
        if free + quantity < 0:
            assert reply == "insufficient-stock"
            return
        stock[key] += quantity
        assert reply.available == self.available(owner)[key]

    @rule(
        owner=OWNER,
        sku=st.sampled_from(SKUS),
        warehouse=st.sampled_from(WAREHOUSES),
        excess=st.integers(0, 1),
    )
    def clear_out(self, owner: OwnerName, sku: str, warehouse: str, excess: int) -> None:
        """All that is available can be taken out, and not one unit more."""
        free = self.available(owner)[sku, warehouse]
        if free + excess:
            self.adjust(owner, sku, warehouse, -(free + excess), False)

    @rule(owner=OWNER, id_=IDS, lines=LINES, ttl_s=TTL, partial=st.booleans())
    def reserve(self, owner: OwnerName, id_: str, lines: Lines, ttl_s: int, partial: bool) -> None:
        """All or nothing, or as much as there is; from each warehouse no more than it has."""
        reply = self.call(owner, "reserve", reservation_id=id_, lines=lines, ttl_s=ttl_s, partial=partial)
        self.check_reserved(owner, id_, lines, ttl_s, partial, reply)

    @rule(owner=OWNER, group=GROUP)
    def reserve_together(self, owner: OwnerName, group: list[tuple[str, Lines, int, bool]]) -> None:
        """A group of calls in one transaction ends like the same calls one after the other."""
        calls = [
            {"reservation_id": id_, "lines": lines, "ttl_s": ttl_s, "partial": partial}
            for id_, lines, ttl_s, partial in group
        ]
        answers = self.runner.run(self.calls[owner].together("reserve", *calls))
        for one, answer in zip(group, answers, strict=True):
            self.check_reserved(owner, *one, answer.type.name if isinstance(answer, Problem) else answer)

    @rule(id_=IDS, quantity=st.integers(1, 8), ttl_s=TTL, partial=st.booleans())
    def reserve_through_the_channel(self, id_: str, quantity: int, ttl_s: int, partial: bool) -> None:
        """Another's units, within the quota. Whose others' time is up, a grantee learns from the sweep."""
        self.sweep()
        lines: Lines = [{"sku": "A", "quantity": quantity, "warehouse": None}]
        lent = {"owner": self.accounts[LENDER[0]], "channel": "dealer"}
        reply = self.call(
            DEALER, "reserve", reservation_id=id_, lines=lines, ttl_s=ttl_s, partial=partial, **lent
        )
        self.check_reserved(DEALER, id_, lines, ttl_s, partial, reply, is_lent=True)

    def check_reserved(
        self,
        caller: OwnerName,
        id_: str,
        lines: Lines,
        ttl_s: int,
        partial: bool,
        reply: Any,
        *,
        is_lent: bool = False,
    ) -> None:
        """The answer is what the model says, and the model then knows the reservation."""
        model, stock_of = self.model[caller], LENDER if is_lent else caller
        if (known := model.reservations.get(id_)) is not None:
            self.check_repeated(known, lines, partial, reply, is_lent=is_lent)
            return
        wanted, most = sum(line["quantity"] for line in lines), self.most(stock_of, lines)
        if is_lent:
            left = self.quota_left()
            if not left or (left < wanted and not partial):
                assert reply == "quota-exceeded"
                return
            most = min(most, left)
        if most < wanted and not (partial and most):
            self.check_refused(stock_of, lines, reply)
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
        before = self.promisable(stock_of)
        for (position, (_, warehouse)), quantity in held.items():
            assert lines[position]["warehouse"] in (None, warehouse)
            assert 0 < quantity <= lines[position]["quantity"]
        expires_at = self.now + timedelta(seconds=ttl_s)
        assert reply.expires_at == expires_at
        new = ModelReservation(lines, partial, held, expires_at, stock_of, is_lent)
        assert all(units <= before[key] for key, units in new.total().items())
        model.reservations[id_] = new

    def check_refused(self, stock_of: OwnerName, lines: Lines, reply: Any) -> None:
        """Lines that wait are named as such; with several lines it depends on which of them are short."""
        waits = [
            any(
                key[0] == line["sku"] and line["warehouse"] in (None, key[1])
                for key in self.held_keys(stock_of)
            )
            for line in lines
        ]
        if all(waits):
            assert reply == "orders-held"
        elif not any(waits):
            assert reply == "insufficient-stock"
        else:
            assert reply in ("orders-held", "insufficient-stock")

    def check_repeated(
        self, known: ModelReservation, lines: Lines, partial: bool, reply: Any, *, is_lent: bool
    ) -> None:
        """An id in use answers for its own request only, and only while it is held."""
        if (
            is_lent != known.is_lent
            or partial != known.partial
            or sorted(map(str, lines)) != sorted(map(str, known.lines))
        ):
            assert reply == "reservation-exists"
        elif not known.is_held(self.now):
            assert reply == "reservation-closed"
        else:
            assert reply.expires_at == known.expires_at
            assert sum(line.reserved for line in reply.lines) == sum(known.held.values())

    @rule(owner=OWNER, id_=IDS, sku=st.sampled_from(SKUS), ttl_s=TTL)
    def reserve_the_last_unit(self, owner: OwnerName, id_: str, sku: str, ttl_s: int) -> None:
        """Whatever is available can be had to the last unit."""
        free = sum(units for key, units in self.promisable(owner).items() if key[0] == sku)
        self.reserve(owner, id_, [{"sku": sku, "quantity": max(free, 1), "warehouse": None}], ttl_s, False)

    @rule(owner=OWNER, id_=IDS)
    def repeat(self, owner: OwnerName, id_: str) -> None:
        """The same request once more changes nothing."""
        known = self.model[owner].reservations.get(id_)
        if known is not None and not known.is_lent:
            self.reserve(owner, id_, known.lines, 20, known.partial)

    @rule(owner=OWNER, id_=IDS, part=st.none() | st.tuples(st.integers(0, 2), st.integers(1, 6)))
    def confirm(self, owner: OwnerName, id_: str, part: tuple[int, int] | None) -> None:
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
                self.model[known.stock_of].good.subtract(asked)
                known.confirmed = asked

    @rule(owner=OWNER, id_=IDS)
    def release(self, owner: OwnerName, id_: str) -> None:
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
    def extend(self, owner: OwnerName, id_: str, ttl_s: int) -> None:
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

    @rule(
        owner=OWNER,
        sku=st.sampled_from(SKUS),
        warehouse=st.sampled_from(WAREHOUSES),
        units=st.integers(0, 12),
        promises_safety=st.booleans(),
        holds=st.booleans(),
    )
    def set_rules(
        self, owner: OwnerName, sku: str, warehouse: str, units: int, promises_safety: bool, holds: bool
    ) -> None:
        """The owner keeps units back, and decides about orders of what is low."""
        level = {"sku": sku, "warehouse": warehouse, "safety_stock": units}
        self.call(
            owner, "configure", levels=[level], hold={"enabled": holds}, promise_safety_stock=promises_safety
        )
        model = self.model[owner]
        model.safety[sku, warehouse], model.promises_safety, model.holds = units, promises_safety, holds

    @rule(
        owner=OWNER,
        sku=st.sampled_from(SKUS),
        warehouse=st.sampled_from(WAREHOUSES),
        quantity=st.sampled_from([0, 5]),
        days=st.sampled_from([0, 7, 8]),
    )
    def expect(self, owner: OwnerName, sku: str, warehouse: str, quantity: int, days: int) -> None:
        """One supply of each key: it comes soon, or later, or not any more."""
        day = (self.now.date() + timedelta(days=days)).isoformat()
        self.call(
            owner, "expect", reference="PO", sku=sku, warehouse=warehouse, quantity=quantity, expected_on=day
        )
        supplied = self.model[owner].supplied
        (supplied.add if quantity and days <= 7 else supplied.discard)((sku, warehouse))

    @rule(seconds=st.integers(1, 12))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.clock.advance(seconds)

    @rule(owner=OWNER, id_=IDS, successor=IDS)
    def take_over(self, owner: OwnerName, id_: str, successor: str) -> None:
        """At exactly the moment at which a reservation expires, its units are another's for the asking."""
        known = self.model[owner].reservations.get(id_)
        if known is not None and known.is_held(self.now):
            self.clock.advance((known.expires_at - self.now).total_seconds())
            self.reserve_the_last_unit(known.stock_of, successor, min(known.total())[0], 10)

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
            reserved, available = self.reserved(owner), self.available(owner)
            for key in [(sku, warehouse) for sku in SKUS for warehouse in WAREHOUSES]:
                on_hand = model.good[key] + model.quarantined[key]
                expected = (on_hand, reserved[key], model.quarantined[key], available[key])
                assert seen.get(key, (0, 0, 0, 0)) == expected

    @invariant()
    def movements_and_held_lines_explain_every_level(self) -> None:
        """The books of the database agree with each other."""
        assert self.runner.run(unexplained(self.admin)) == []
        assert self.runner.run(oversold(self.admin)) == []


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
