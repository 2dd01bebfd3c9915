"""What was reported from elsewhere is corrected: a later event says its quantity anew, once, and only what it says is billed."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from billing.audit.corrected import correction_differences
from billing.invoice.rate_pending import rate_pending
from billing.rebuild import verify
from billing.transaction import all_accounts
from billing.view import calls, usage
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from tests.control_plane import NOW, Installation, Owner
from tests.reporting import BATCH, correction, event, opened, results, send, told
from tests.usage_books import roll_up_all

OCTOBER = Period(2026, 10)


@pytest.fixture
async def owner(plane: Installation, admin: asyncpg.Connection) -> Owner:
    return await opened(plane, admin, "bu-01")


async def billed(pool: asyncpg.Pool, owner: Owner) -> tuple[int, str, str]:
    """Calls, units and amount of October, once all books of it agree."""
    await roll_up_all(pool)
    await rate_pending(pool, ManualClock(NOW))
    assert await verify(pool, ()) == []
    async with all_accounts(pool) as connection:
        view = await usage(connection, owner.id, "live", OCTOBER)
    return view.calls, view.units, view.amount.amount


async def test_the_last_quantity_is_billed_and_the_call_stays_one(
    plane: Installation, owner: Owner, billing_pool: asyncpg.Pool
) -> None:
    (first,) = await told(plane, owner.live, event("1", data={"units": "500"}))
    assert await billed(billing_pool, owner) == (1, "500", "5.00")
    (fewer,) = await told(plane, owner.live, correction("1a", "1", "120"))
    assert (fewer["result"], fewer["call_id"]) == ("accepted", first["call_id"])
    assert await billed(billing_pool, owner) == (1, "120", "1.20")
    assert await results(plane, owner.live, [correction("1b", "1a", "700.5")]) == ["accepted"]
    assert await billed(billing_pool, owner) == (1, "700.5", "7.01")
    assert await results(plane, owner.live, [correction("1c", "1b", "0")]) == ["accepted"]
    assert await billed(billing_pool, owner) == (1, "0", "0.00")
    assert await results(plane, owner.live, [correction("1d", "1c", "2")]) == ["accepted"]
    assert await billed(billing_pool, owner) == (1, "2", "0.02")
    async with all_accounts(billing_pool) as connection:
        (shown,) = (await calls(connection, owner.id, "live", 10)).data
    assert (shown.id, shown.units) == (first["call_id"], "2")


async def test_a_quantity_is_corrected_to_its_last_digit(
    plane: Installation, owner: Owner, billing_pool: asyncpg.Pool
) -> None:
    smallest = "0.00000000000000000001"
    sent = [event("1", data={"units": smallest}), correction("1a", "1", "1000000000")]
    assert await results(plane, owner.live, sent) == ["accepted"] * 2
    assert (await billed(billing_pool, owner))[1] == "1000000000"
    assert await results(plane, owner.live, [correction("1b", "1a", smallest)]) == ["accepted"]
    assert (await billed(billing_pool, owner))[1] == smallest


async def test_a_correction_that_is_sent_again_is_a_duplicate_and_under_its_id_nothing_else_is_taken(
    plane: Installation, owner: Owner, admin: asyncpg.Connection
) -> None:
    sent = correction("1a", "1", "3")
    assert await results(plane, owner.live, [event("1"), event("2"), sent]) == ["accepted"] * 3
    (again,) = await told(plane, owner.live, {**sent, "data": {"units": "3.0"}})
    assert again["result"] == "duplicate"
    for other, pointer in (
        ({**sent, "data": {"units": "4"}}, "/data/units"),
        ({**sent, "corrects": "2"}, "/corrects"),
        (event("1a", data={"units": "3"}), "/corrects"),
    ):
        (one,) = await told(plane, owner.live, other)
        assert (one["result"], one["call_id"]) == ("conflict", again["call_id"])
        assert [error["pointer"] for error in one["errors"]] == [pointer]
    # A duplicate stays one when the chain has gone on.
    assert await results(plane, owner.live, [correction("1b", "1a", "5"), sent]) == ["accepted", "duplicate"]
    assert await admin.fetchval("SELECT count(*) FROM billing.correction") == 2


async def test_what_was_corrected_already_is_refused_and_the_last_id_is_named(
    plane: Installation, owner: Owner
) -> None:
    assert await results(plane, owner.live, [event("1"), correction("1a", "1", "3")]) == ["accepted"] * 2
    await results(plane, owner.live, [correction("1b", "1a", "4")])
    for corrected in ("1", "1a"):
        (one,) = await told(plane, owner.live, correction("1c", corrected, "9"))
        assert (one["result"], one.get("call_id")) == ("refused", None)
        (error,) = one["errors"]
        assert (error["pointer"], error["rule"]) == ("/corrects", "superseded")
        assert error["detail"] == f"'{corrected}' was corrected already; name the last correction of it, '1b'"
    # A refused correction leaves its id free.
    assert await results(plane, owner.live, [correction("1c", "1b", "9")]) == ["accepted"]


async def test_of_corrections_that_meet_one_counts_and_the_others_are_told_whose(
    plane: Installation, owner: Owner, billing_pool: asyncpg.Pool
) -> None:
    await results(plane, owner.live, [event("1", data={"units": "100"})])
    sent = [correction(f"c{number}", "1", str(number)) for number in range(1, 7)]
    met = await asyncio.gather(*(told(plane, owner.live, one) for one in sent))
    accepted = [one for (one,) in met if one["result"] == "accepted"]
    refused = [one for (one,) in met if one["result"] == "refused"]
    assert (len(accepted), len(refused)) == (1, 5)
    won = accepted[0]["id"]
    assert {one["errors"][0]["rule"] for one in refused} == {"superseded"}
    assert all(f"the last correction of it, {won!r}" in one["errors"][0]["detail"] for one in refused)
    assert (await billed(billing_pool, owner))[1] == won[1:]


async def test_the_same_correction_from_many_senders_at_once_counts_once(
    plane: Installation, owner: Owner, admin: asyncpg.Connection
) -> None:
    batch = [event("1", data={"units": "10"}), correction("1a", "1", "4"), event("2")]
    received = await asyncio.gather(*(results(plane, owner.live, batch) for _ in range(5)))
    assert sum(one.count("accepted") for one in received) == 3
    assert sum(one.count("duplicate") for one in received) == 12
    assert await admin.fetchval("SELECT sum(units) FROM billing.usage_event") == 5


_WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"corrects": "never-sent"}, "/corrects", "reference"),
    ({"corrects": "c1"}, "/corrects", "reference"),
    ({"source": "/wuhu"}, "/corrects", "reference"),
    ({"corrects": ""}, "/corrects", "constraint"),
    ({"corrects": "x" * 201}, "/corrects", "constraint"),
    ({"corrects": 1}, "/corrects", "type"),
    ({"subject": "stock/reserve"}, "/subject", "differs"),
    ({"subject": "stock/fly"}, "/subject", "differs"),
    ({"time": "2026-10-05T08:30:01Z"}, "/time", "differs"),
    ({"time": (NOW - timedelta(days=401)).isoformat()}, "/time", "range"),
    ({"data": {"units": "2", "class": "declined"}}, "/data/class", "differs"),
    ({"data": {"units": "2", "dimensions": {"warehouse": "HF1"}}}, "/data/dimensions", "differs"),
    ({"data": {"units": "-1"}}, "/data/units", "range"),
    ({"data": {"units": "1000000001"}}, "/data/units", "range"),
]


async def test_a_correction_that_does_not_repeat_its_event_is_refused_alone_with_field_rule_and_remedy(
    plane: Installation, owner: Owner, admin: asyncpg.Connection
) -> None:
    await results(plane, owner.live, [event("1", data={"units": "5"})])
    sent = [{**correction(f"c{number}", "1", "2"), **fields} for number, (fields, *_) in enumerate(_WRONG)]
    good, *bad = await told(plane, owner.live, event("2"), *sent)
    assert good["result"] == "accepted"
    for one, (fields, pointer, rule) in zip(bad, _WRONG, strict=True):
        assert one["result"] == "refused", fields
        (error,) = one["errors"]
        assert (error["pointer"], error["rule"]) == (pointer, rule), fields
        assert error["detail"]
    assert await admin.fetchval("SELECT count(*) FROM billing.correction") == 0
    assert await admin.fetchval("SELECT array_agg(id ORDER BY id) FROM billing.seen") == ["1", "2"]


async def test_all_that_a_correction_does_not_repeat_is_told_at_once(
    plane: Installation, owner: Owner
) -> None:
    await results(plane, owner.live, [event("1")])
    other = correction("c", "1", "2", subject="stock/reserve", time="2026-10-06T08:30:00Z")
    (one,) = await told(plane, owner.live, other)
    assert one["errors"] == [
        {
            "pointer": "/subject",
            "rule": "differs",
            "detail": "repeat what the event that is corrected says: 'stock/adjust'",
        },
        {
            "pointer": "/time",
            "rule": "differs",
            "detail": "repeat what the event that is corrected says: 2026-10-05T08:30:00Z",
        },
    ]


async def test_in_a_batch_a_correction_knows_what_stands_before_it_and_nothing_behind(
    plane: Installation, owner: Owner, billing_pool: asyncpg.Pool
) -> None:
    batch = [
        correction("2a", "2", "9"),
        event("1", data={"units": "50"}),
        event("2", data={"units": "7"}),
        correction("1a", "1", "40"),
        correction("1b", "1a", "30"),
        correction("1c", "1", "20"),
        event("1", data={"units": "50"}),
        correction("1b", "1a", "31"),
    ]
    found = await told(plane, owner.live, *batch)
    assert [one["result"] for one in found] == [
        "refused",
        "accepted",
        "accepted",
        "accepted",
        "accepted",
        "refused",
        "duplicate",
        "conflict",
    ]
    assert found[0]["errors"][0]["rule"] == "reference"
    assert found[5]["errors"][0]["detail"].endswith("name the last correction of it, '1b'")
    assert [error["pointer"] for error in found[7]["errors"]] == ["/data/units"]
    assert len({one["call_id"] for one in found if one["id"].startswith("1") and "call_id" in one}) == 1
    assert await billed(billing_pool, owner) == (2, "37", "0.37")


async def test_what_nothing_is_billed_by_is_corrected_without_a_record(
    plane: Installation, owner: Owner, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    declined = {"units": "5", "class": "declined"}
    batch = [
        event("1", data=declined),
        correction("1a", "1", "2", data={**declined, "units": "2"}),
        event("same", data={"units": "3"}),
        correction("same-a", "same", "3.00"),
    ]
    assert await results(plane, owner.live, batch) == ["accepted"] * 4
    assert await billed(billing_pool, owner) == (2, "3", "0.03")
    assert await admin.fetchval("SELECT count(*) FROM billing.usage_event WHERE amends IS NOT NULL") == 0
    kept = await admin.fetch("SELECT id, units_after, amendment_id FROM billing.correction ORDER BY id")
    assert [tuple(row) for row in kept] == [("1a", 2, None), ("same-a", 3, None)]


async def test_each_source_environment_and_account_corrects_its_own(
    plane: Installation, owner: Owner, admin: asyncpg.Connection
) -> None:
    other = await opened(plane, admin, "bu-02")
    assert await results(plane, owner.live, [event("1")]) == ["accepted"]
    for key in (owner.test, other.live):
        (one,) = await told(plane, key, correction("c", "1", "0"))
        assert one["errors"][0]["rule"] == "reference"
        assert await results(plane, key, [event("1"), correction("c", "1", "0")]) == ["accepted"] * 2
    assert await results(plane, owner.live, [correction("c", "1", "0")]) == ["accepted"]


async def test_any_key_of_the_account_corrects_and_the_record_says_which(
    plane: Installation, owner: Owner, admin: asyncpg.Connection
) -> None:
    await results(plane, owner.live, [event("1", data={"units": "8"})])
    key = await plane.limited_key(owner, "usage/report")
    assert await results(plane, key, [correction("1a", "1", "6")]) == ["accepted"]
    row = await admin.fetchrow("SELECT corrected_by, corrected_at, units_after FROM billing.correction")
    assert row is not None
    assert (row["corrected_by"], row["corrected_at"]) == (f"key/{key.split('_')[2]}", NOW)
    rows = await admin.fetch(
        "SELECT key_id, units, amends IS NULL AS is_call FROM billing.usage_event ORDER BY 2"
    )
    assert [(row["units"], row["is_call"]) for row in rows] == [(-2, False), (8, True)]
    assert len({row["key_id"] for row in rows}) == 1, "what is more or less is of the key that reported"


async def test_usage_is_corrected_after_its_service_was_left_and_at_the_price_of_its_time(
    plane: Installation, owner: Owner, admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await results(plane, owner.live, [event("1", data={"units": "100"})])
    await admin.execute(
        "UPDATE catalog.subscription SET ends_at = $2 WHERE account_id = $1",
        owner.id,
        datetime(2026, 10, 1, tzinfo=UTC),
    )
    await asyncio.sleep(0.3)
    assert await results(plane, owner.live, [event("2")]) == ["refused"]
    assert await results(plane, owner.live, [correction("1a", "1", "50")]) == ["accepted"]
    assert await billed(billing_pool, owner) == (1, "50", "0.50")


async def test_the_database_itself_takes_one_correction_of_an_event_and_changes_none(
    plane: Installation, owner: Owner, admin: asyncpg.Connection, gateway_pool: asyncpg.Pool
) -> None:
    await results(plane, owner.live, [event("1"), correction("1a", "1", "3"), event("2")])
    async with gateway_pool.acquire() as connection:
        for statement, refusal in (
            (
                "INSERT INTO billing.correction SELECT account_id, environment, source, '2', '1', event_id, 9, NULL, 'x', now() "
                "FROM billing.correction",
                asyncpg.UniqueViolationError,
            ),
            (
                "INSERT INTO billing.correction SELECT account_id, environment, source, '2', 'x', event_id, 9, NULL, 'x', now() "
                "FROM billing.correction",
                asyncpg.ForeignKeyViolationError,
            ),
            ("UPDATE billing.correction SET units_after = 0", asyncpg.InsufficientPrivilegeError),
            ("DELETE FROM billing.correction", asyncpg.InsufficientPrivilegeError),
        ):
            await connection.execute("SELECT set_config('ordergate.account', $1, false)", owner.id)
            with pytest.raises(refusal):
                await connection.execute(statement)
    for statement in ("UPDATE billing.correction SET units_after = 0", "TRUNCATE billing.correction"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await admin.execute(statement)


async def test_a_rebuild_names_a_chain_that_its_records_do_not_come_to(
    plane: Installation, owner: Owner, admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    batch = [event("1", data={"units": "9"}), correction("1a", "1", "4"), correction("1b", "1a", "6")]
    (first, *_) = await told(plane, owner.live, *batch)
    await billed(billing_pool, owner)
    place = f"live corrections of {first['call_id']}: "

    async def spoiled(*statements: str) -> list[str]:
        transaction = admin.transaction()
        await transaction.start()
        try:
            await admin.execute("SET LOCAL session_replication_role = replica")
            for statement in statements:
                await admin.execute(statement)
            return [one async for one in correction_differences(admin, "live")]
        finally:
            await transaction.rollback()

    assert await spoiled() == []
    assert await spoiled("UPDATE billing.usage_event SET units = 1 WHERE units = 2") == [
        f"{place}the last one says 6, stored 5"
    ]
    assert await spoiled("DELETE FROM billing.usage_event WHERE units = 2") == [
        f"{place}the usage rows that they made are not those that are stored"
    ]
    assert await spoiled("DELETE FROM billing.usage_event WHERE amends IS NULL") == [
        f"{place}no such usage was reported by the account"
    ]
    assert await spoiled("DELETE FROM billing.correction WHERE id = '1a'") == [
        f"{place}the usage rows that they made are not those that are stored"
    ]
    assert await spoiled("UPDATE billing.correction SET corrects_id = '1c' WHERE id = '1b'") == [
        f"{place}they do not follow one another"
    ]
    assert await spoiled("UPDATE billing.usage_event SET billable = false") == [
        f"{place}nothing is billed by it, and usage rows were made"
    ]


async def test_what_would_not_be_a_batch_without_corrections_is_none_with_them(
    plane: Installation, owner: Owner
) -> None:
    reply = await send(plane, owner.live, [correction("c", "1", "0")] * 1001, BATCH)
    assert (reply.status_code, reply.json()["errors"][0]["rule"]) == (400, "batch")


async def test_first_reports_stay_above_zero(plane: Installation, owner: Owner) -> None:
    (one,) = await told(plane, owner.live, event("1", data={"units": "0"}))
    assert [error["pointer"] for error in one["errors"]] == ["/data/units"]
