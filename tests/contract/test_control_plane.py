"""What /api answers an account, what it refuses and how, and what of one account another can see: nothing."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from atomic_services import registry
from billing.desk import close
from catalog.passport import check_passport, document_of
from catalog.registry.publish import publish
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.ids import call_id_text
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import PROBLEMS
from deploy.database import Database
from gateway.control.books import Books
from tests.control_plane import NOW, Installation, Owner, control_plane, eventually
from tests.usage_books import call, use

OCTOBER = datetime(2026, 10, 12, 4, tzinfo=UTC)
PRICE = "address/internal-2026/validate/CNY@1"
UNKNOWN_CALL = "call_019a9d3c5a7e7c03a1f2b3c4d5e6f708"


@pytest.fixture
async def owner(plane: Installation) -> Owner:
    return await plane.open("bu-01")


def assert_problem(reply: Any, name: str) -> dict[str, Any]:
    assert reply.headers["content-type"] == "application/problem+json", reply.text
    document: dict[str, Any] = reply.json()
    assert document["type"] == f"/problems/{name}"
    assert reply.status_code == document["status"] == PROBLEMS[name].status
    assert document["instance"].startswith("req_")
    assert document["detail"]
    assert "Traceback" not in reply.text
    return document


REFUSED: tuple[tuple[str, str, Any, str], ...] = (
    ("GET", "/nothing", None, "not-found"),
    ("GET", "/api", None, "not-found"),
    ("GET", "/api/nothing", None, "not-found"),
    ("GET", "/openapi/bench.json", None, "not-found"),
    ("GET", "/openapi/address", None, "not-found"),
    ("GET", "/services/bench", None, "not-found"),
    ("GET", "/problems/nothing", None, "not-found"),
    ("PUT", "/api/keys", {}, "method-not-allowed"),
    ("POST", "/docs", {}, "method-not-allowed"),
    ("GET", "/api/services?limit=0", None, "invalid-input"),
    ("GET", "/api/services?limit=1001", None, "invalid-input"),
    ("GET", "/api/services?after=nothing", None, "invalid-input"),
    ("GET", "/api/services/nothing", None, "not-found"),
    ("GET", "/api/services/bench", None, "not-found"),
    ("GET", "/api/account?expand=1", None, "invalid-input"),
    ("GET", "/api/usage?period=2026-13", None, "invalid-input"),
    ("GET", "/api/usage?period=9999-12", None, "invalid-input"),
    ("GET", "/api/usage?period=1969-12", None, "invalid-input"),
    ("GET", "/api/usage?period=2026-10&period=2026-11", None, "invalid-input"),
    ("GET", "/api/usage?period=%ff", None, "malformed-request"),
    ("GET", "/api/usage?period", None, "malformed-request"),
    ("GET", "/api/calls?limit=ten", None, "invalid-input"),
    ("GET", "/api/calls?after=call_1", None, "invalid-input"),
    ("GET", f"/api/calls/{UNKNOWN_CALL}", None, "not-found"),
    ("GET", "/api/calls/call_" + "f" * 32, None, "not-found"),
    ("GET", "/api/calls/nothing", None, "not-found"),
    ("GET", "/api/invoices?after=2026", None, "invalid-input"),
    ("GET", "/api/invoices/2026-10", None, "not-found"),
    ("GET", "/api/invoices/october", None, "not-found"),
    ("GET", "/api/invoices/2026-10?format=odt", None, "invalid-input"),
    ("GET", "/api/invoices/2026-10?format=pdf&language=fr", None, "invalid-input"),
    ("GET", "/api/keys?after=og_live_0", None, "invalid-input"),
    ("POST", "/api/keys", {}, "invalid-input"),
    ("POST", "/api/keys", {"scopes": []}, "invalid-input"),
    ("POST", "/api/keys", {"scopes": ["everything"]}, "invalid-input"),
    ("POST", "/api/keys", {"scopes": ["*"], "admin": True}, "invalid-input"),
    ("POST", "/api/keys", {"scopes": ["*"], "application": "nothing"}, "invalid-input"),
    ("POST", "/api/keys", {"scopes": ["*"], "label": "x" * 20_000}, "too-large"),
    ("DELETE", "/api/keys/og_live_000000000000", None, "not-found"),
    ("DELETE", "/api/keys/nothing", None, "not-found"),
)


async def test_what_is_refused_is_a_problem_whose_page_exists(plane: Installation, owner: Owner) -> None:
    for method, path, body, name in REFUSED:
        reply = await plane.send(method, path, owner.live, body)
        document = assert_problem(reply, name)
        page = await plane.get(document["type"])
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        if name == "method-not-allowed":
            assert reply.headers["allow"]
        if name == "invalid-input":
            assert all(error["rule"] and error["detail"] for error in document["errors"])


UNACCEPTABLE: tuple[tuple[bytes, str, str], ...] = (
    (b'{"scopes": ["*"]', "application/json", "malformed-json"),
    (b'{"scopes": ["*"], "scopes": ["stock/*"]}', "application/json", "malformed-json"),
    (b'{"scopes": [NaN]}', "application/json", "malformed-json"),
    (b'\xff{"scopes": ["*"]}', "application/json", "malformed-json"),
    (b'{"scopes": ["*"]}', "text/plain", "unsupported-media-type"),
    (b"scopes=*", "application/x-www-form-urlencoded", "unsupported-media-type"),
)


async def test_bodies_are_held_to_the_one_json_policy(plane: Installation, owner: Owner) -> None:
    for content, type_, name in UNACCEPTABLE:
        headers = {"authorization": f"Bearer {owner.live}", "content-type": type_}
        assert_problem(await plane.client.post("/api/keys", content=content, headers=headers), name)


async def test_nobody_gets_in_without_a_key_that_is_right(plane: Installation, owner: Owner) -> None:
    wrong = owner.live[:-7] + ("a" if owner.live[-7] != "a" else "b") + owner.live[-6:]
    for path in ("/api/services", "/api/account", "/api/usage", "/api/calls", "/api/invoices", "/api/keys"):
        for reply in (await plane.get(path), await plane.get(path, wrong)):
            assert_problem(reply, "unauthenticated")
            assert reply.headers["www-authenticate"].startswith("Bearer")
    twice = [("authorization", f"Bearer {owner.live}"), ("authorization", f"Bearer {owner.test}")]
    assert_problem(await plane.client.get("/api/account", headers=twice), "malformed-request")
    assert_problem(await plane.get("/metrics", "not-the-operator"), "forbidden")


async def test_a_defect_of_ours_is_a_problem_that_tells_nothing(
    plane: Installation, owner: Owner, admin: asyncpg.Connection
) -> None:
    await admin.execute("ALTER TABLE billing.usage_event RENAME TO elsewhere")
    document = assert_problem(await plane.get("/api/calls", owner.live), "internal-error")
    assert "elsewhere" not in str(document)
    assert "usage_event" not in str(document)


async def test_a_defect_is_logged_with_its_route_and_not_with_what_stands_in_its_address(
    plane: Installation, owner: Owner, admin: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    await admin.execute("ALTER TABLE gateway.api_key RENAME COLUMN label TO away")
    await admin.execute("ALTER TABLE gateway.sign_in_link RENAME TO away")
    caplog.clear()
    # People paste the whole key where its id is asked for, and a sign-in link is a secret by itself.
    assert_problem(await plane.send("DELETE", f"/api/keys/{owner.test}", owner.live), "internal-error")
    assert_problem(await plane.get("/sign-in/a-token-that-works"), "internal-error")
    assert [record.__dict__["route"] for record in caplog.records if record.levelname == "ERROR"] == [
        "/api/keys/{key_id}",
        "/sign-in/{token}",
    ]
    assert not any(owner.test in str(record.__dict__) for record in caplog.records)
    assert not any("a-token-that-works" in str(record.__dict__) for record in caplog.records)


async def test_without_the_database_questions_are_put_off_and_pages_go_on(
    database: Database, gateway_pool: asyncpg.Pool, tmp_path: Path
) -> None:
    nowhere = {**database.as_role("ordergate_reader"), "host": str(tmp_path)}
    async with control_plane(database, gateway_pool, tmp_path) as plane:
        owner = await plane.open("bu-01")
    async with control_plane(database, gateway_pool, tmp_path, reader=nowhere) as plane:
        reply = await plane.get("/api/account", owner.live)
        assert_problem(reply, "unavailable")
        assert int(reply.headers["retry-after"]) > 0
        assert (await plane.get("/")).status_code == 200


async def test_every_reply_forbids_what_a_page_does_not_need(plane: Installation, owner: Owner) -> None:
    for path in ("/", "/docs", "/openapi.json", "/api/account", "/healthz", "/nothing"):
        reply = await plane.get(path, owner.live)
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "style-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["referrer-policy"] == "no-referrer"
        assert len(reply.headers.get_list("x-content-type-options")) == 1
    assert (await plane.get("/api/account", owner.live)).headers["cache-control"] == "no-store"
    assert (await plane.client.head("/docs")).status_code == 200


async def test_a_key_sees_the_services_of_its_account_with_its_own_prices(
    plane: Installation, owner: Owner
) -> None:
    dealer = await plane.open("d-01", kind="external")
    for one, plan in ((owner, "internal-2026"), (dealer, "distributor-2026")):
        listed = (await plane.get("/api/services", one.live)).json()
        services = [entry["service"] for entry in listed["data"]]
        assert services == sorted(services)
        assert {"address", "stock"} <= set(services)
        assert "bench" not in services
        passport = (await plane.get("/api/services/address", one.live)).json()
        assert passport["subscribed_plan"] == plan
        assert [one["id"] for one in passport["plans"]] == [plan]
        assert not {"costs", "delivered_by"} & set(passport)
        assert set(passport["owner"]) == {"team", "contact"}


async def test_a_list_goes_on_where_the_page_before_ended(plane: Installation, owner: Owner) -> None:
    whole = (await plane.get("/api/services", owner.live)).json()
    assert whole["next"] is None
    seen: list[str] = []
    path = "/api/services?limit=1"
    while True:
        page = (await plane.get(path, owner.live)).json()
        seen += [entry["service"] for entry in page["data"]]
        if page["next"] is None:
            break
        path = f"/api/services?limit=1&after={page['next']}"
    assert seen == [entry["service"] for entry in whole["data"]]


async def test_the_account_is_the_callers_own(plane: Installation, owner: Owner) -> None:
    account = (await plane.get("/api/account", owner.test)).json()
    assert (account["id"], account["kind"], account["currency"]) == (owner.id, "internal", "CNY")
    assert (account["key"]["environment"], account["key"]["scopes"]) == ("test", ["*"])
    assert owner.test.startswith(account["key"]["id"])
    assert {one["service"] for one in account["subscriptions"]} >= {"address", "stock"}
    assert owner.test not in str(account)


async def test_calls_are_listed_with_their_charge_latest_first(
    plane: Installation, owner: Owner, billing_pool: asyncpg.Pool
) -> None:
    made = [call(owner.id, NOW.replace(minute=minute), price_version=PRICE) for minute in (1, 2, 3)]
    failed = call(owner.id, NOW.replace(minute=4), price_version=PRICE, class_="provider_error")
    sandbox = call(owner.id, NOW.replace(minute=5), price_version=PRICE, environment="test")
    await use(billing_pool, [*made, failed, sandbox])

    first = (await plane.get("/api/calls?limit=2", owner.live)).json()
    rest = (await plane.get(f"/api/calls?limit=1000&after={first['next']}", owner.live)).json()
    listed = first["data"] + rest["data"]
    assert [one["id"] for one in listed] == [call_id_text(one.uuid) for one in (failed, *reversed(made))]
    assert rest["next"] is None
    assert listed[0]["charge"] == {"amount": "0", "currency": "CNY"}
    assert listed[1]["charge"] == {"amount": "0.055", "currency": "CNY"}
    assert [one["class"] for one in listed] == ["provider_error", "ok", "ok", "ok"]

    one = call_id_text(made[1].uuid)
    assert (await plane.get(f"/api/calls/{one}", owner.live)).json() == listed[2]
    assert_problem(await plane.get(f"/api/calls/{call_id_text(sandbox.uuid)}", owner.live), "not-found")
    assert (await plane.get(f"/api/calls/{call_id_text(sandbox.uuid)}", owner.test)).status_code == 200


async def test_usage_and_documents_are_money_of_one_month(
    plane: Installation, owner: Owner, billing_pool: asyncpg.Pool
) -> None:
    await use(billing_pool, [call(owner.id, OCTOBER, price_version=PRICE) for _ in range(3)])
    usage = (await plane.get("/api/usage?period=2026-10", owner.live)).json()
    assert (usage["calls"], usage["units"]) == (3, "3")
    assert usage["amount"] == {"amount": "0.17", "currency": "CNY"}
    running = (await plane.get("/api/usage", owner.live)).json()
    assert (running["period"], running["calls"]) == ("2026-11", 0)
    assert running["amount"] == {"amount": "0.00", "currency": "CNY"}

    await close(billing_pool, Period(2026, 10), ManualClock(NOW))
    listed = (await plane.get("/api/invoices", owner.live)).json()
    assert [(one["period"], one["total"]["amount"]) for one in listed["data"]] == [("2026-10", "0.17")]
    statement = (await plane.get("/api/invoices/2026-10", owner.live)).json()
    assert (statement["kind"], statement["total"], len(statement["lines"])) == ("statement", "0.17", 1)
    table = await plane.get("/api/invoices/2026-10?format=csv", owner.live)
    assert table.headers["content-type"].startswith("text/csv; charset=utf-8")
    assert table.headers["content-disposition"].endswith('.csv"')
    assert "0.17" in table.text.splitlines()[-1]
    # A byte order mark, without which Excel reads Chinese in the computer's old code page.
    assert table.content.startswith(b"\xef\xbb\xbf")
    for form, start in (("pdf", b"%PDF-"), ("xlsx", b"PK")):
        printed = await plane.get(f"/api/invoices/2026-10?format={form}&language=zh-CN", owner.live)
        assert printed.content.startswith(start)
        assert printed.headers["content-disposition"].endswith(f'.{form}"')
    assert (await plane.get("/api/invoices", owner.test)).json() == {"data": [], "next": None}


async def test_nothing_of_one_account_reaches_another(
    plane: Installation, owner: Owner, billing_pool: asyncpg.Pool
) -> None:
    made = call(owner.id, OCTOBER, price_version=PRICE)
    await use(billing_pool, [made])
    await close(billing_pool, Period(2026, 10), ManualClock(NOW))
    other = await plane.open("bu-02")
    for path in (
        "/api/account",
        "/api/services",
        "/api/usage?period=2026-10",
        "/api/calls",
        "/api/invoices",
        "/api/keys",
    ):
        mine, theirs = await plane.get(path, owner.live), await plane.get(path, other.live)
        assert mine.status_code == theirs.status_code == 200
        for trace in (owner.id, f"app_{owner.id}", call_id_text(made.uuid), "bu-01", owner.live[:20]):
            assert trace not in theirs.text
    shown = owner.live[:20]
    assert_problem(await plane.get(f"/api/calls/{call_id_text(made.uuid)}", other.live), "not-found")
    assert_problem(await plane.get("/api/invoices/2026-10", other.live), "not-found")
    assert_problem(await plane.send("DELETE", f"/api/keys/{shown}", other.live), "not-found")
    assert (await plane.get("/api/account", owner.live)).status_code == 200

    # The second wall: a question that names the wrong account finds no row.
    books = Books(plane.context.reader, plane.gateway_pool)
    async with books.read(other.id) as transaction:
        assert (
            await transaction.fetchval(
                "SELECT count(*) FROM billing.usage_event WHERE account_id = $1", owner.id
            )
            == 0
        )
        assert await transaction.fetchval("SELECT count(*) FROM catalog.account") == 1
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await transaction.execute("CREATE TABLE mine ()")
    await books.close()


async def test_a_key_is_made_used_listed_and_revoked_and_its_secret_shown_once(
    plane: Installation, owner: Owner
) -> None:
    made = await plane.send("POST", "/api/keys", owner.live, {"scopes": ["stock/*"], "label": "checkout"})
    assert made.status_code == 201
    secret, key = made.json()["secret"], made.json()["key"]
    assert secret.startswith(key["id"])
    assert (key["environment"], key["state"], key["label"]) == ("live", "active", "checkout")
    await plane.known(secret)

    listed = await plane.get("/api/keys", owner.live)
    assert [one["id"] for one in listed.json()["data"]].count(key["id"]) == 1
    assert secret not in listed.text
    assert key in listed.json()["data"]

    revoked = await plane.send("DELETE", f"/api/keys/{key['id']}", owner.live)
    assert (revoked.status_code, revoked.json()["state"]) == (200, "revoked")

    async def refused() -> bool:
        return (await plane.get("/api/account", secret)).status_code == 401

    await eventually(refused)


async def test_only_a_key_that_may_do_everything_manages_keys(plane: Installation, owner: Owner) -> None:
    limited = await plane.limited_key(owner, "stock/*", "address/validate")
    assert_problem(await plane.get("/api/keys", limited), "forbidden")
    assert_problem(await plane.send("POST", "/api/keys", limited, {"scopes": ["stock/*"]}), "forbidden")
    assert_problem(await plane.send("DELETE", f"/api/keys/{owner.live[:20]}", limited), "forbidden")
    assert (await plane.get("/api/usage", limited)).status_code == 200


async def test_a_test_key_manages_test_keys_only(plane: Installation, owner: Owner) -> None:
    refused = await plane.send("POST", "/api/keys", owner.test, {"scopes": ["*"], "environment": "live"})
    assert_problem(refused, "forbidden")
    made = await plane.send("POST", "/api/keys", owner.test, {"scopes": ["*"]})
    assert made.json()["key"]["environment"] == "test"
    listed = (await plane.get("/api/keys", owner.test)).json()["data"]
    assert {one["environment"] for one in listed} == {"test"}
    assert_problem(await plane.send("DELETE", f"/api/keys/{owner.live[:20]}", owner.test), "not-found")
    assert (await plane.get("/api/account", owner.live)).status_code == 200


async def test_a_contract_follows_the_catalogue_and_is_sent_only_when_it_has_changed(
    plane: Installation,
) -> None:
    before = await plane.get("/openapi/address.json")
    assert (await plane.get("/openapi/address.json", if_none_match=before.headers["etag"])).status_code == 304
    built_in = registry.built_in_passport("address")
    assert built_in is not None
    document = document_of(built_in)
    document["plans"][1]["prices"][0]["price"] = {"unit_price": "0.0815"}
    document["summary"] = {"en": "<script>alert('sold')</script>"}
    async with plane.gateway_pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('ordergate.account', '*', true)")
        await publish(connection, check_passport(document), built_in, "tests", NOW)

    async def changed() -> bool:
        return (await plane.get("/openapi/address.json")).headers["etag"] != before.headers["etag"]

    await eventually(changed)
    assert "0.0815" in (await plane.get("/openapi.json")).text
    page = (await plane.get("/services/address")).text
    assert "0.0815" in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page


async def test_usage_is_a_table_for_spreadsheets_too(
    plane: Installation, owner: Owner, billing_pool: asyncpg.Pool
) -> None:
    await use(billing_pool, [call(owner.id, OCTOBER, price_version=PRICE) for _ in range(3)])
    reply = await plane.get("/api/usage?period=2026-10&format=csv", owner.live)
    assert reply.headers["content-type"].startswith("text/csv")
    assert 'filename="usage-live-2026-10.csv"' in reply.headers["content-disposition"]
    head, *rows = reply.content.decode("utf-8-sig").splitlines()
    assert head == "row,account,environment,period,service,operation,calls,units,amount,currency"
    assert [row.split(",")[0] for row in rows] == ["operation", "total"]
    assert rows[-1].endswith(",3,3,0.17,CNY")
    refused = await plane.get("/api/usage?format=xml", owner.live)
    assert refused.json()["errors"][0]["pointer"] == "/format"


async def test_a_key_has_one_id_and_is_found_by_either_form_of_it(plane: Installation, owner: Owner) -> None:
    made = [await plane.send("POST", "/api/keys", owner.live, {"scopes": ["*"]}) for _ in range(2)]
    ids = [reply.json()["key"]["id"] for reply in made]
    assert all(one.startswith("og_live_") for one in ids)
    short = ids[0].removeprefix("og_live_")
    pages = [
        (await plane.get(f"/api/keys?after={after}", owner.live)).json()["data"]
        for after in (ids[0], short, made[0].json()["secret"])
    ]
    assert pages[0] == pages[1] == pages[2]
    assert ids[0] not in [one["id"] for one in pages[0]]
    assert (await plane.get("/api/keys?after=og_live_nothing", owner.live)).status_code == 400
    for form in (short, ids[0]):
        gone = await plane.send("DELETE", f"/api/keys/{form}", owner.live)
        assert (gone.json()["id"], gone.json()["state"]) == (ids[0], "revoked")


async def test_every_wrong_field_of_a_body_is_named_at_once(plane: Installation, owner: Owner) -> None:
    reply = await plane.send(
        "POST",
        "/api/keys",
        owner.live,
        {"scope": ["*"], "application": "", "environment": "prod", "label": 7},
    )
    assert (reply.status_code, reply.json()["type"]) == (400, "/problems/invalid-input")
    assert [(one["pointer"], one["rule"]) for one in reply.json()["errors"]] == [
        ("/scope", "unknown-field"),
        ("/application", "constraint"),
        ("/environment", "constraint"),
        ("/label", "type"),
        ("/scopes", "required"),
    ]
    assert "did you mean `scopes`?" in reply.json()["errors"][0]["detail"]
