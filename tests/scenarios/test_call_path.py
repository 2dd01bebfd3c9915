"""A call is answered, metered once and priced; whatever is wrong with it is refused by name and never billed."""

import asyncio
import time
from typing import Any

import msgspec
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from billing.journal import JournalReader, journal_directories
from catalog.usage_event import (
    REFUSALS_KIND,
    USAGE_EVENT_KIND,
    UsageEvent,
    decode_event,
    decode_refusals,
)
from gateway.telemetry import STAGES
from gateway.tracing import Tracing
from tests.gateways import BERLIN, RunningGateway


def journaled(gateway: RunningGateway) -> list[UsageEvent]:
    """Every usage event in the journals of the installation."""
    found = []
    for directory in journal_directories(gateway.home.journals):
        reader = JournalReader(directory)
        page = reader.read_after(0, 10**8)
        found += [decode_event(record.payload) for record in page.records if record.kind == USAGE_EVENT_KIND]
        reader.close()
    return found


async def test_a_call_is_answered_metered_and_priced(gateway: RunningGateway) -> None:
    opened = await gateway.open_account()
    key = await gateway.create_key(opened)
    reply = await gateway.call(key, "address/validate", BERLIN)
    assert reply.status_code == 200
    assert reply.json()["verdict"] == "valid"
    assert reply.headers["ordergate-units"] == "1"
    assert reply.headers["ordergate-charge"] == "0.055 CNY"
    assert reply.headers["ratelimit-policy"] == '"default";q=200;w=1'
    assert reply.headers["ratelimit"].startswith('"default";r=199;t=')
    (event,) = journaled(gateway)
    assert reply.headers["ordergate-call-id"] == f"call_{event.id}"
    assert (event.operation, event.class_, event.outcome, event.fault) == (
        "address/validate",
        "ok",
        "success",
        "none",
    )
    assert (event.account_id, event.payer, event.environment) == (
        opened.account.id,
        opened.account.id,
        "live",
    )
    assert (event.billable, event.units) == (True, "1")
    assert event.price_version == "address/internal-2026/validate/CNY@1"
    assert event.subscription_id in {subscription.id for subscription in opened.subscriptions}


async def test_an_external_account_pays_its_own_plan_in_its_own_currency(gateway: RunningGateway) -> None:
    key = await gateway.create_key(await gateway.open_account("dealer", "external", currency="USD"))
    reply = await gateway.call(key, "address/validate", BERLIN)
    assert reply.headers["ordergate-charge"].endswith(" USD")


_BAD_CALLS: list[tuple[Any, dict[str, str], int, str]] = [
    (b"{", {}, 400, "malformed-json"),
    (b'{"country":"DE","country":"FR","lines":[]}', {}, 400, "malformed-json"),
    (b'{"country":NaN}', {}, 400, "malformed-json"),
    (b'\xff{"country":"DE"}', {}, 400, "malformed-json"),
    (b'{"country":"DE","lines":["\\u0000"]}', {}, 400, "malformed-json"),
    (b"[" * 5000, {}, 400, "malformed-json"),
    ({"country": 7, "lines": []}, {}, 400, "invalid-input"),
    ({"lines": []}, {}, 400, "invalid-input"),
    ({**BERLIN, "planet": "Mars"}, {}, 400, "invalid-input"),
    ({**BERLIN, "country": "QQ"}, {}, 400, "unsupported-country"),
    ({**BERLIN, "lines": ["x" * 20_000]}, {}, 413, "too-large"),
    (b"x" * 2_000_000, {}, 413, "too-large"),
    (BERLIN, {"Content_Type": "text/plain"}, 415, "unsupported-media-type"),
    (BERLIN, {"Content_Encoding": "gzip"}, 415, "unsupported-media-type"),
    (BERLIN, {"Authorization": "Bearer og_live_x"}, 401, "unauthenticated"),
    (BERLIN, {"Authorization": "Basic eDp5"}, 401, "unauthenticated"),
]


async def test_a_bad_call_is_refused_by_name_and_never_billed(gateway: RunningGateway) -> None:
    key = await gateway.create_key(await gateway.open_account())
    for body, headers, status, problem in _BAD_CALLS:
        reply = await gateway.call(key, "address/validate", body, **headers)
        assert (reply.status_code, reply.json()["type"]) == (status, f"/problems/{problem}"), (body, headers)
        assert reply.headers["content-type"] == "application/problem+json"
        document = reply.json()
        assert document["status"] == status
        assert document["instance"] == reply.headers["ordergate-call-id"]
        assert document["detail"]
        assert document["remedy"]
    assert not any(event.billable for event in journaled(gateway))


async def test_input_that_only_the_service_could_judge_is_on_record_and_free(gateway: RunningGateway) -> None:
    key = await gateway.create_key(await gateway.open_account())
    reply = await gateway.call(key, "address/validate", {**BERLIN, "country": "QQ"})
    assert reply.headers["ordergate-charge"] == "0 CNY"
    (event,) = journaled(gateway)
    assert (event.class_, event.fault, event.billable, event.units) == ("caller_error", "caller", False, "0")


async def test_unknown_operations_paths_and_methods_are_told_apart(gateway: RunningGateway) -> None:
    key = await gateway.create_key(await gateway.open_account())
    assert (await gateway.call(key, "address/teleport", BERLIN)).json()[
        "type"
    ] == "/problems/unknown-operation"
    assert (await gateway.call(key, "address/validate/", BERLIN)).status_code == 404
    assert (await gateway.call(key, "address/validate?x=1", BERLIN)).status_code == 400
    wrong_method = await gateway.client.get(
        "/v1/address/validate", headers={"Authorization": f"Bearer {key}"}
    )
    assert wrong_method.status_code == 405
    assert wrong_method.headers["allow"] == "POST"


async def test_a_slip_in_the_path_is_told_what_was_meant(gateway: RunningGateway) -> None:
    key = await gateway.create_key(await gateway.open_account())

    async def told(path: str, credential: str = key) -> str:
        reply = await gateway.call(credential, path, BERLIN)
        assert reply.status_code in (401, 404)
        return str(reply.json()["detail"])

    assert await told("stock/reserv") == (
        "No operation is published under this path. Did you mean `stock/reserve` (/v1/stock/reserve)?"
    )
    assert "`address/validate`" in await told("adress/valdiate")
    wrong_version = await gateway.client.post(
        "/v2/stock/reserve", json=BERLIN, headers={"Authorization": f"Bearer {key}"}
    )
    assert "(/v1/stock/reserve)" in wrong_version.json()["detail"]
    for nothing_like_it in ("address/teleport", "rocket/launch", f"{'a' * 40}/{'e' * 40}"):
        assert "Did you mean" not in await told(nothing_like_it)
    assert "stock/reserve" not in await told("stock/reserv", f"{key[:-8]}AAAAAAAA")


async def test_what_was_meant_is_only_told_of_what_is_on_offer(gateway: RunningGateway) -> None:
    insider = await gateway.create_key(await gateway.open_account(plans={"bench": "bench"}))
    outsider = await gateway.create_key(await gateway.open_account("dealer", "external"))
    for slip in ("bench/ecco", "bensh/echo"):
        assert "`bench/echo`" in (await gateway.call(insider, slip, BERLIN)).json()["detail"]
        assert "bench" not in (await gateway.call(outsider, slip, BERLIN)).json()["detail"]


async def test_scopes_and_subscriptions_bound_a_key(gateway: RunningGateway) -> None:
    opened = await gateway.open_account(plans={"address": "internal-2026"})
    narrow = await gateway.create_key(opened, scopes=("address/normalise",))
    assert (await gateway.call(narrow, "address/validate", BERLIN)).json()["type"] == "/problems/forbidden"
    assert (await gateway.call(narrow, "address/normalise", BERLIN)).status_code == 200
    wide = await gateway.create_key(opened)
    refused = await gateway.call(wide, "stock/availability", {"skus": ["A"]})
    assert refused.json()["type"] == "/problems/not-subscribed"


async def test_a_service_that_is_not_on_offer_looks_like_one_that_does_not_exist(
    gateway: RunningGateway,
) -> None:
    outsider = await gateway.create_key(await gateway.open_account("dealer", "external"))
    narrow = await gateway.create_key(await gateway.open_account("other"), scopes=("address/normalise",))
    for key in (outsider, narrow):
        hidden = await gateway.call(key, "bench/echo", BERLIN)
        unknown = await gateway.call(key, "bench/nothing", BERLIN)
        answers = [
            (one.status_code, {**one.json(), "instance": ""}, set(one.headers)) for one in (hidden, unknown)
        ]
        assert answers[0] == answers[1]
        assert hidden.json()["type"] == "/problems/unknown-operation"


async def test_whom_an_operator_subscribed_calls_a_private_service(gateway: RunningGateway) -> None:
    key = await gateway.create_key(await gateway.open_account(plans={"bench": "bench"}))
    assert (await gateway.call(key, "bench/echo", BERLIN)).status_code == 200


async def test_a_live_key_is_not_a_test_key(gateway: RunningGateway) -> None:
    opened = await gateway.open_account()
    live, test = await gateway.create_key(opened), await gateway.create_key(opened, "test")
    await gateway.call(live, "address/validate", BERLIN)
    await gateway.call(test, "address/validate", BERLIN)
    assert sorted(event.environment for event in journaled(gateway)) == ["live", "test"]
    forged = live.replace("og_live_", "og_test_")
    assert (await gateway.call(forged, "address/validate", BERLIN)).status_code == 401


@pytest.mark.timed
async def test_a_revoked_key_is_refused_within_a_second(gateway: RunningGateway) -> None:
    key = await gateway.create_key(await gateway.open_account())
    assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200
    await gateway.admin.execute("UPDATE gateway.api_key SET revoked_at = now()")
    revoked = time.monotonic()
    while (await gateway.call(key, "address/validate", BERLIN)).status_code == 200:
        assert time.monotonic() - revoked < 1.0
        await asyncio.sleep(0.01)
    document = (await gateway.call(key, "address/validate", BERLIN)).json()
    assert document["type"] == "/problems/unauthenticated"


@pytest.mark.timed
async def test_a_publication_reaches_running_workers_within_a_second_and_drops_no_call(
    gateway: RunningGateway,
) -> None:
    def cheaper(document: dict[str, Any]) -> None:
        for plan in document["plans"]:
            for price in plan["prices"]:
                if price["operation"] == "validate" and price["currency"] == "CNY":
                    price["price"] = {"unit_price": "0.044"}

    key = await gateway.create_key(await gateway.open_account())
    done = asyncio.Event()
    statuses: list[int] = []

    async def keep_calling() -> None:
        while not done.is_set():
            statuses.append((await gateway.call(key, "address/validate", BERLIN)).status_code)
            await asyncio.sleep(0.006)

    calling = asyncio.create_task(keep_calling())
    await gateway.publish("address", cheaper)
    published = time.monotonic()
    while (await gateway.call(key, "address/validate", BERLIN)).headers.get(
        "ordergate-charge"
    ) != "0.044 CNY":
        assert time.monotonic() - published < 1.0
    done.set()
    await calling
    assert set(statuses) == {200}
    versions = {event.price_version for event in journaled(gateway)}
    assert versions == {"address/internal-2026/validate/CNY@1", "address/internal-2026/validate/CNY@2"}


async def test_the_rate_limit_refuses_with_its_arithmetic_and_bills_nothing(gateway: RunningGateway) -> None:
    def five_an_hour(document: dict[str, Any]) -> None:
        document["limits"] = [{"kind": "rate", "per": "application", "q": 5, "w": 3600}]

    await gateway.publish("address", five_an_hour)
    key = await gateway.create_key(await gateway.open_account())
    replies = await asyncio.gather(*(gateway.call(key, "address/validate", BERLIN) for _ in range(20)))
    assert sorted(reply.status_code for reply in replies) == [200] * 5 + [429] * 15
    refused = next(reply for reply in replies if reply.status_code == 429)
    assert refused.json()["type"] == "/problems/rate-limited"
    assert refused.json()["limit"]["calls"] == 5
    assert 1 <= int(refused.headers["retry-after"]) <= 720
    assert refused.headers["ratelimit-policy"] == '"default";q=5;w=3600'
    assert refused.headers["ratelimit"].startswith('"default";r=0;t=')
    assert len(journaled(gateway)) == 5


async def test_refusals_are_counted_durably_for_each_account_and_operation(gateway: RunningGateway) -> None:
    key = await gateway.create_key(await gateway.open_account())
    for _ in range(3):
        await gateway.call(key, "address/validate", b"{")
    await asyncio.sleep(1.3)
    (directory,) = journal_directories(gateway.home.journals)
    reader = JournalReader(directory)
    counted = [
        refusal
        for record in reader.read_after(0, 10**8).records
        if record.kind == REFUSALS_KIND
        for refusal in decode_refusals(record.payload)
    ]
    reader.close()
    assert [(one.operation, one.reason, one.calls) for one in counted] == [
        ("address/validate", "malformed-json", 3)
    ]


async def test_nothing_secret_is_logged_or_answered(
    gateway: RunningGateway, caplog: pytest.LogCaptureFixture
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    replies = [
        await gateway.call(key, "address/validate", b"{"),
        await gateway.call(key + "x", "address/validate", BERLIN),
        await gateway.call(key, "stock/adjust", {"sku": "A"}),
    ]
    secret = key[21:]
    assert not any(secret in reply.text for reply in replies)
    assert secret not in caplog.text
    assert not any(
        secret.encode() in path.read_bytes() for path in gateway.home.journals.rglob("*") if path.is_file()
    )


async def test_a_call_is_one_span_with_its_stage_times_when_an_exporter_is_set(
    gateway: RunningGateway,
) -> None:
    exporter = InMemorySpanExporter()
    gateway.gateway.pipeline._tracing = Tracing(exporter, gateway.clock)
    key = await gateway.create_key(await gateway.open_account())
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    await gateway.call(key, "address/validate", BERLIN, traceparent=f"00-{trace_id}-b7ad6b7169203331-01")
    gateway.gateway.pipeline._tracing.shutdown()
    (span,) = exporter.get_finished_spans()
    assert span.context is not None
    assert format(span.context.trace_id, "032x") == trace_id
    assert span.attributes is not None
    assert {f"ordergate.stage.{stage}_us" for stage in STAGES} <= set(span.attributes)
    assert span.attributes["ordergate.operation"] == "address/validate"
    assert "Invalidenstr" not in msgspec.json.encode(dict(span.attributes)).decode()


async def test_a_call_is_named_alike_in_its_reply_and_wherever_it_is_told_later(
    gateway: RunningGateway,
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    adjusted = await gateway.call(
        key,
        "stock/adjust",
        {"sku": "A", "warehouse": "W", "quantity": 2.0, "reason": "count"},
        Idempotency_Key="adjust",
    )
    configured = await gateway.call(
        key, "stock/configure", {"promise_safety_stock": True}, Idempotency_Key="configure"
    )
    (movement,) = (await gateway.call(key, "stock/movements", {})).json()["data"]
    assert movement["call_id"] == adjusted.headers["ordergate-call-id"]
    (change,) = configured.json()["changes"]
    assert change["call_id"] == configured.headers["ordergate-call-id"]


async def test_a_call_whose_record_meets_a_lock_that_stays_has_not_happened_and_is_told_to_come_back(
    gateway: RunningGateway,
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    stock = {"sku": "A", "warehouse": "N", "quantity": 5, "reason": "receipt"}
    async with gateway.admin.transaction():
        await gateway.admin.execute("LOCK TABLE billing.usage_event IN SHARE MODE")
        refused = await gateway.call(key, "stock/adjust", stock, Idempotency_Key="a-1")
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/unavailable")
    assert int(refused.headers["retry-after"]) >= 1
    assert await gateway.admin.fetchval("SELECT count(*) FROM stock.movement") == 0
    assert (await gateway.call(key, "stock/adjust", stock, Idempotency_Key="a-1")).json()["on_hand"] == 5
