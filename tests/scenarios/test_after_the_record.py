"""Once a call is on record, nothing of ours changes its answer; before it is, a failure of ours is on record as ours."""

import asyncio
from typing import Any

import msgspec
import pytest

from atomic_services.contract import CallContext, Operation
from billing.journal import JournalUnavailable
from catalog.usage_event import REFUSALS_KIND, decode_refusals
from tests.gateways import BERLIN, RunningGateway
from tests.scenarios.test_call_path import journaled

ADJUST = {"sku": "A", "warehouse": "W1", "quantity": 5, "reason": "count"}


def replace_operation(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    """Let `address/validate` be computed by another function."""
    pipeline = gateway.gateway.pipeline
    own = pipeline._operations["address/validate"]
    changed = {**pipeline._operations, "address/validate": Operation(own.request, own.reply, run)}
    monkeypatch.setattr(pipeline, "_operations", changed)


async def test_a_metric_that_fails_does_not_turn_a_billed_call_into_an_error(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no figure today")

    monkeypatch.setattr(gateway.gateway.pipeline._metrics, "metered", broken)
    key = await gateway.create_key(await gateway.open_account())
    assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200
    assert (await gateway.call(key, "stock/adjust", ADJUST, Idempotency_Key="a")).status_code == 200


async def test_a_reply_that_cannot_be_encoded_is_our_failure_and_on_record_as_such(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unencodable(msgspec.Struct):
        value: Any

    async def run(_request: object, _context: CallContext) -> msgspec.Struct:
        return Unencodable(object())

    replace_operation(gateway, monkeypatch, run)
    key = await gateway.create_key(await gateway.open_account())
    reply = await gateway.call(key, "address/validate", BERLIN)
    assert (reply.status_code, reply.json()["type"]) == (500, "/problems/internal-error")
    (event,) = journaled(gateway)
    assert (event.class_, event.fault, event.billable) == ("provider_error", "provider", False)


async def test_an_operation_that_raises_or_hangs_is_on_record_and_free(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def raises(_request: object, _context: CallContext) -> msgspec.Struct:
        raise ZeroDivisionError

    async def hangs(_request: object, _context: CallContext) -> msgspec.Struct:
        await asyncio.sleep(60)
        raise AssertionError

    key = await gateway.create_key(await gateway.open_account())
    for run, status, problem in ((raises, 500, "internal-error"), (hangs, 504, "deadline-exceeded")):
        replace_operation(gateway, monkeypatch, run)
        reply = await gateway.call(key, "address/validate", BERLIN)
        assert (reply.status_code, reply.json()["type"]) == (status, f"/problems/{problem}")
        assert reply.headers["ordergate-charge"] == "0 CNY"
    assert [(event.class_, event.status, event.billable) for event in journaled(gateway)] == [
        ("provider_error", 500, False),
        ("provider_error", 504, False),
    ]


@pytest.mark.parametrize(
    ("reason", "certain"), [("io-error", False), ("queue-full", True), ("disk-reserve", True)]
)
async def test_a_call_that_cannot_be_recorded_is_not_answered_as_a_success(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch, reason: Any, certain: bool
) -> None:
    def refuse(*_: object) -> None:
        raise JournalUnavailable(reason, "a test")

    key = await gateway.create_key(await gateway.open_account())
    monkeypatch.setattr(gateway.gateway.journal, "append", refuse)
    reply = await gateway.call(key, "address/validate", BERLIN)
    assert (reply.status_code, reply.json()["type"]) == (503, "/problems/unavailable")
    assert ("does not count" in reply.json()["detail"]) == certain
    assert "ordergate-charge" not in reply.headers


async def test_refusals_name_the_operation_that_was_asked_for(gateway: RunningGateway) -> None:
    counted: list[Any] = []
    original = gateway.gateway.journal.append

    def listen(kind: int, payload: bytes) -> Any:
        if kind == REFUSALS_KIND:
            counted.extend(decode_refusals(payload))
        return original(kind, payload)

    gateway.gateway.journal.append = listen  # type: ignore[method-assign]
    key = await gateway.create_key(await gateway.open_account(), scopes=("stock/*",))
    await gateway.call(key, "address/validate", BERLIN)
    await gateway.call(key, "address/teleport", BERLIN)
    await asyncio.sleep(1.3)
    assert {(one.operation, one.reason) for one in counted} == {
        ("address/validate", "forbidden"),
        ("-", "unknown-operation"),
    }
