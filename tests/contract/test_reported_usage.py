"""Usage from elsewhere is taken exactly once: accepted, known already, in conflict with what is known, or refused."""

import asyncio
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.invoice.month import Month
from billing.invoice.rate_pending import rate_pending
from billing.view import usage
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import PROBLEMS
from tests.control_plane import NOW, Installation, Owner
from tests.reporting import BATCH, SINGLE, event, opened, results, send, told
from tests.usage_books import roll_up_all


@pytest.fixture
async def owner(plane: Installation, admin: asyncpg.Connection) -> Owner:
    return await opened(plane, admin, "bu-01")


async def test_each_event_is_told_what_became_of_it(plane: Installation, owner: Owner) -> None:
    batch = [
        event("1"),
        event("2"),
        event("1"),
        event("2", data={"units": "7"}),
        event("3", subject="stock/ajust"),
    ]
    reply = (await send(plane, owner.live, batch)).json()
    assert [one["result"] for one in reply["results"]] == [
        "accepted",
        "accepted",
        "duplicate",
        "conflict",
        "refused",
    ]
    counts = {name: reply[name] for name in ("accepted", "duplicates", "conflicts", "refused")}
    assert counts == {"accepted": 2, "duplicates": 1, "conflicts": 1, "refused": 1}
    first, second, again, other, refused = reply["results"]
    assert again["call_id"] == first["call_id"]
    assert other["call_id"] == second["call_id"]
    detail = "no operation 'stock/ajust' is on sale; did you mean `stock/adjust`?"
    assert refused["errors"] == [{"pointer": "/subject", "rule": "reference", "detail": detail}]


async def test_a_conflict_says_in_which_fields_it_differs(plane: Installation, owner: Owner) -> None:
    await results(
        plane, owner.live, [event("1"), event("declined", data={"units": "5", "class": "declined"})]
    )
    others = {
        "/subject": event("1", subject="stock/reserve"),
        "/time": event("1", time="2026-10-05T08:30:01Z"),
        "/data/units": event("1", data={"units": "7"}),
        "/data/class": event("1", data={"class": "declined"}),
        "/corrects": event("1", corrects="declined", data={"units": "1"}),
    }
    for pointer, other in others.items():
        (one,) = await told(plane, owner.live, other)
        assert one["result"] == "conflict"
        assert [error["pointer"] for error in one["errors"]] == [pointer]
        assert {error["rule"] for error in one["errors"]} == {"differs"}
    (units,) = (await told(plane, owner.live, others["/data/units"]))[0]["errors"]
    assert units["detail"].startswith("it was accepted with 1; correct it")
    # What nothing is billed by is not kept, and must be what differs where all else is the same.
    (unbilled,) = await told(plane, owner.live, event("declined", data={"units": "6", "class": "declined"}))
    assert [error["pointer"] for error in unbilled["errors"]] == ["/data/units"]
    (several,) = await told(plane, owner.live, event("1", time="2026-10-06T08:30:00Z", data={"units": "2"}))
    assert [error["pointer"] for error in several["errors"]] == ["/time", "/data/units"]


async def test_a_conflict_tells_nothing_of_what_others_reported(
    plane: Installation, owner: Owner, admin: asyncpg.Connection
) -> None:
    other = await opened(plane, admin, "bu-02")
    await results(plane, other.live, [event("1", data={"units": "7"})])
    assert await results(plane, owner.live, [event("1")]) == ["accepted"]
    (one,) = await told(plane, owner.live, event("1", data={"units": "9"}))
    assert one["errors"][0]["detail"].startswith("it was accepted with 1;")


async def test_what_was_sent_before_is_known_for_ever(
    plane: Installation, owner: Owner, admin: asyncpg.Connection
) -> None:
    assert await results(plane, owner.live, event(), SINGLE) == ["accepted"]
    assert await results(plane, owner.live, event(time="2026-10-05T16:30:00+08:00"), SINGLE) == ["duplicate"]
    assert await results(plane, owner.live, event(data={"units": "1.0", "class": "ok"}), SINGLE) == [
        "duplicate"
    ]
    assert await results(plane, owner.live, event(time="2026-10-05T08:30:01Z"), SINGLE) == ["conflict"]
    assert await results(plane, owner.live, event(source="/wuhu"), SINGLE) == ["accepted"]
    assert await results(plane, owner.test, event(), SINGLE) == ["accepted"]
    assert await admin.fetchval("SELECT count(*) FROM billing.usage_event") == 3


async def test_the_same_batch_from_many_senders_at_once_counts_once(
    plane: Installation, owner: Owner, admin: asyncpg.Connection
) -> None:
    batch = [event(str(number)) for number in range(50)]
    received = await asyncio.gather(
        *(results(plane, owner.live, batch if sender % 2 else batch[::-1]) for sender in range(6))
    )
    assert sum(one.count("accepted") for one in received) == 50
    assert sum(one.count("duplicate") for one in received) == 250
    assert await admin.fetchval("SELECT count(*) FROM billing.usage_event") == 50


async def test_reported_usage_is_priced_as_of_its_time_and_stands_on_that_month(
    plane: Installation, owner: Owner, billing_pool: asyncpg.Pool
) -> None:
    batch = [event(str(number)) for number in range(40)]
    batch.append(event("declined", data={"class": "declined"}))
    await send(plane, owner.live, batch)
    await roll_up_all(billing_pool)
    await rate_pending(billing_pool, ManualClock(NOW))
    async with billing_pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('ordergate.account', '*', true)")
        month = Month(owner.id, "live", Period(2026, 10))
        view = await usage(connection, month.account_id, month.environment, month.period)
    assert (view.calls, view.amount.amount) == (41, "0.40")


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"specversion": "0.3"}, "/specversion"),
        ({"type": "com.example.other"}, "/type"),
        ({"id": ""}, "/id"),
        ({"source": "x" * 201}, "/source"),
        ({"time": "2026-10-05T08:30:00"}, "/time"),
        ({"time": "yesterday"}, "/time"),
        ({"time": (NOW + timedelta(hours=1)).isoformat()}, "/time"),
        ({"time": (NOW - timedelta(days=401)).isoformat()}, "/time"),
        ({"time": "2025-12-31T23:00:00Z"}, "/time"),
        ({"subject": "customs/teleport"}, "/subject"),
        # A service that is not on offer to the account is as unknown as one that does not exist.
        ({"subject": "bench/echo"}, "/subject"),
        ({"data": {"units": "0"}}, "/data/units"),
        ({"data": {"units": "-1"}}, "/data/units"),
        ({"data": {"units": "1e3"}}, "/data/units"),
        ({"data": {"units": "1000000001"}}, "/data/units"),
        ({"data": {"units": 1}}, "/data/units"),
        ({"data": {"class": "provider_error"}}, "/data/class"),
        ({"data": {"price": "0"}}, "/data/price"),
    ],
)
async def test_a_wrong_event_is_refused_alone_with_field_rule_and_remedy(
    plane: Installation, owner: Owner, admin: asyncpg.Connection, fields: dict[str, Any], pointer: str
) -> None:
    reply = (await send(plane, owner.live, [event("good"), event("bad", **fields)])).json()
    good, bad = reply["results"]
    assert (good["result"], bad["result"]) == ("accepted", "refused")
    assert bad["errors"][0]["pointer"] == pointer
    assert bad["errors"][0]["rule"]
    assert bad["errors"][0]["detail"]
    assert await admin.fetchval("SELECT count(*) FROM billing.seen") == 1


@pytest.mark.parametrize("units", ["0", "-2"])
async def test_a_report_that_takes_away_is_told_of_corrections(
    plane: Installation, owner: Owner, units: str
) -> None:
    (refused,) = await told(plane, owner.live, event(data={"units": units}))
    assert refused["errors"][0]["detail"] == (
        "above 0 and at most 1000000000; an earlier event is lowered or voided by a correction, which names it in `corrects`"
    )


async def test_the_events_that_the_readme_sends_are_taken(plane: Installation, owner: Owner) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    bodies = re.findall(r"-d '(\{\"specversion\".*)'$", readme, re.MULTILINE)
    assert len(bodies) == 2
    for body in bodies:
        # Of the month that is over here: what is printed was of its own day.
        sent = json.loads(body) | {"time": "2026-10-05T08:30:00Z"}
        assert await results(plane, owner.live, sent, SINGLE) == ["accepted"]


@pytest.mark.parametrize(
    ("body", "type_", "problem"),
    [
        (b"[]", BATCH, "invalid-input"),
        (b"{}", BATCH, "invalid-input"),
        (b"[" + b",".join([b"{}"] * 1001) + b"]", BATCH, "invalid-input"),
        (b"[{]", BATCH, "malformed-json"),
        (b'[{"id": "1", "id": "2"}]', BATCH, "malformed-json"),
        (b"{}", "application/json", "unsupported-media-type"),
        (b'[{"id": "' + b"x" * 1_100_000 + b'"}]', BATCH, "too-large"),
    ],
)
async def test_a_body_that_is_no_batch_is_refused_whole(
    plane: Installation, owner: Owner, body: bytes, type_: str, problem: str
) -> None:
    reply = await send(plane, owner.live, body, type_)
    assert reply.status_code == PROBLEMS[problem].status, reply.text
    assert reply.json()["type"] == f"/problems/{problem}"
    if problem == "unsupported-media-type":
        for told in (reply.json()["detail"], reply.json()["remedy"]):
            assert SINGLE in told
            assert BATCH in told


async def test_a_key_reports_only_with_the_scope_and_only_for_its_account(
    plane: Installation, owner: Owner, admin: asyncpg.Connection
) -> None:
    for scope, status in (("stock/*", 403), ("usage/report", 200)):
        reply = await send(plane, await plane.limited_key(owner, scope), [event(scope)])
        assert reply.status_code == status, reply.text
    other = await opened(plane, admin, "bu-02")
    assert await results(plane, other.live, [event("usage/report")]) == ["accepted"], (
        "names are an account's own"
    )


ITEMS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)
EVENTS = st.one_of(
    ITEMS,
    st.builds(
        lambda fields: {**event(), **fields},
        st.dictionaries(st.sampled_from(sorted(event(corrects="1"))), ITEMS),
    ),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(EVENTS, min_size=1, max_size=5))
async def test_whatever_is_in_a_batch_is_answered_item_by_item(
    plane: Installation, owner: Owner, batch: list[Any]
) -> None:
    reply = await send(plane, owner.live, batch)
    if reply.status_code == 200:
        assert [one["index"] for one in reply.json()["results"]] == list(range(len(batch)))
    else:
        assert reply.status_code == 400
        assert reply.json()["type"] == "/problems/malformed-json", (
            "only what no JSON text may hold stops a batch"
        )
