"""The webhook's route: signed bodies are stored and answered at once, everything else is refused."""

from collections.abc import AsyncIterator

import asyncpg
import httpx
import msgspec
import pytest

from billing.inbox import StripeInbox
from catalog.vocabulary.clock import ManualClock
from gateway.control.build import build_control
from tests.control_plane import NOW, Installation
from tests.fakes.stripe_server.webhooks import signature

SECRET = "whsec_0123456789"
BODY = msgspec.json.encode(
    {
        "id": "evt_1",
        "type": "invoice.paid",
        "created": 1_790_000_000,
        "livemode": True,
        "data": {"object": {"object": "invoice", "id": "in_1", "lines": "x" * 100_000}},
    }
)


@pytest.fixture
async def configured(plane: Installation) -> AsyncIterator[httpx.AsyncClient]:
    context = msgspec.structs.replace(
        plane.context, inbox=StripeInbox(SECRET, ManualClock(NOW), livemode=True)
    )
    control = build_control(context)
    transport = httpx.ASGITransport(app=control, raise_app_exceptions=False)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        yield client
    await control.close()


async def _post(client: httpx.AsyncClient, body: bytes, header: str) -> httpx.Response:
    return await client.post("/api/webhooks/stripe", content=body, headers={"stripe-signature": header})


async def test_a_signed_event_is_stored_once_and_answered_200(
    configured: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    header = signature(SECRET, BODY, int(NOW.timestamp()))
    for _ in range(2):
        reply = await _post(configured, BODY, header)
        assert (reply.status_code, reply.content) == (200, b"")
    assert await admin.fetchval("SELECT array_agg(invoice) FROM billing.webhook_event") == ["in_1"]


async def test_a_bad_signature_is_answered_400_and_a_huge_body_413(
    configured: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    reply = await _post(configured, BODY, "t=1,v1=0")
    assert (reply.status_code, reply.json()["type"].rpartition("/")[2]) == (400, "malformed-request")
    assert (await _post(configured, b"x" * 600_000, "t=1,v1=0")).status_code == 413
    assert (await configured.get("/api/webhooks/stripe")).status_code == 405
    assert await admin.fetchval("SELECT count(*) FROM billing.webhook_event") == 0


async def test_an_event_of_the_other_mode_is_refused_by_name(
    configured: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    body = msgspec.json.encode(msgspec.json.decode(BODY) | {"livemode": False})
    reply = await _post(configured, body, signature(SECRET, body, int(NOW.timestamp())))
    assert (reply.status_code, reply.json()["detail"]) == (
        409,
        "wrong-mode: event evt_1 is of Stripe's test mode; this installation is for its live mode.",
    )
    assert await admin.fetchval("SELECT count(*) FROM billing.webhook_event") == 0


async def test_without_configuration_there_is_no_such_route(plane: Installation) -> None:
    header = signature(SECRET, BODY, int(NOW.timestamp()))
    assert (await _post(plane.client, BODY, header)).status_code == 404
