"""Webhooks are believed when they are signed now with the endpoint's secret, as Stripe's own package signs."""

import logging
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import msgspec
import pytest
import stripe

from billing.inbox import StripeInbox, open_inbox
from billing.settings import StripeSecrets, stripe_secrets
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.problem import Problem
from catalog.vocabulary.settings import InvalidSetting

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
SECRET = "whsec_0123456789"
KEY = "sk_test_0123456789abcdef"


def _event(id_: str = "evt_1", **subject: object) -> bytes:
    return msgspec.json.encode(
        {
            "id": id_,
            "object": "event",
            "type": "invoice.paid",
            "created": 1_790_000_000,
            "livemode": True,
            "data": {"object": {"object": "invoice", "id": "in_1", "customer_email": "a@b.c"} | subject},
        }
    )


def _signed(body: bytes, secret: str = SECRET, moved_s: int = 0) -> str:
    header: str = stripe.WebhookSignature.generate_signature_header(
        body.decode(), secret, timestamp=int(NOW.timestamp()) + moved_s
    )
    return header


async def _accept(pool: asyncpg.Pool, body: bytes, header: str | None) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await StripeInbox(SECRET, ManualClock(NOW), livemode=True).accept(connection, body, header)


async def test_an_event_is_stored_once_and_without_what_it_says(
    gateway_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    body = _event()
    for _ in range(3):
        await _accept(gateway_pool, body, _signed(body))
    # A rotated secret signs twice for a while.
    other = _event("evt_2", object="dispute", id="du_1", payment_intent="pi_1")
    await _accept(gateway_pool, other, f"{_signed(other)},v1={'0' * 64}")
    third = _event("evt_3", object="payment_intent", id="pi_2")
    await _accept(gateway_pool, third, _signed(third, moved_s=-299))
    rows = await admin.fetch("SELECT * FROM billing.webhook_event ORDER BY id")
    assert [(row["id"], row["invoice"], row["payment_intent"]) for row in rows] == [
        ("evt_1", "in_1", None),
        ("evt_2", None, "pi_1"),
        ("evt_3", None, "pi_2"),
    ]
    assert "a@b.c" not in str([dict(row) for row in rows])


HEADERS = {
    "absent": None,
    "empty": "",
    "no stamp": "v1=" + "0" * 64,
    "no signature": f"t={int(NOW.timestamp())}",
    "words": "t=now,v1=yes",
    "two stamps": f"t=1,{_signed(_event())}",
    "not ascii": "t=１７,v1=ä",
    "other secret": _signed(_event(), "whsec_other"),
    "other body": _signed(_event("evt_9")),
    "old": _signed(_event(), moved_s=-301),
    "from the future": _signed(_event(), moved_s=301),
    "older scheme": _signed(_event()).replace("v1=", "v0="),
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
async def test_what_is_not_signed_now_with_the_secret_is_refused(
    gateway_pool: asyncpg.Pool, admin: asyncpg.Connection, header: str | None
) -> None:
    with pytest.raises(Problem) as caught:
        await _accept(gateway_pool, _event(), header)
    assert caught.value.type.status == 400
    assert SECRET not in str(caught.value)
    assert await admin.fetchval("SELECT count(*) FROM billing.webhook_event") == 0


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"id": 1}', b"\xff", b'{"id":"evt_1","type":"x"}'])
async def test_what_is_signed_and_no_event_is_refused(gateway_pool: asyncpg.Pool, body: bytes) -> None:
    signed = StripeInbox(SECRET, ManualClock(NOW), livemode=True)
    header = _signed(body) if body != b"\xff" else _signed_bytes(body)
    async with gateway_pool.acquire() as connection, connection.transaction():
        with pytest.raises(Problem, match="not an event"):
            await signed.accept(connection, body, header)


def _signed_bytes(body: bytes) -> str:
    from tests.fakes.stripe_server.webhooks import signature

    return signature(SECRET, body, int(NOW.timestamp()))


def _write(home: Path, content: object, mode: int = 0o600) -> Path:
    path = home / "secrets" / "stripe.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.encode(content))
    path.chmod(mode)
    return path


def test_without_the_file_nothing_is_configured(tmp_path: Path) -> None:
    assert stripe_secrets(tmp_path) is None
    assert open_inbox(tmp_path, ManualClock(NOW)) is None


def test_secrets_come_from_a_file_that_nobody_else_may_read(tmp_path: Path) -> None:
    good = {"api_key": KEY, "webhook_secret": SECRET}
    _write(tmp_path, good)
    secrets = stripe_secrets(tmp_path)
    assert secrets == StripeSecrets(KEY, SECRET, "https://api.stripe.com")
    assert not secrets.is_live
    assert isinstance(open_inbox(tmp_path, ManualClock(NOW)), StripeInbox)
    _write(tmp_path, good, 0o640)
    with pytest.raises(InvalidSetting, match="chmod 600"):
        stripe_secrets(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        {"api_key": KEY},
        {"api_key": "pk_test_1", "webhook_secret": SECRET},
        {"api_key": KEY, "webhook_secret": "secret"},
        {"api_key": KEY, "webhook_secret": SECRET, "api_base": "http://stripe.example"},
        {"api_key": KEY, "webhook_secret": SECRET, "api_base": "https://user@stripe.example"},
        {"api_key": KEY, "webhook_secret": SECRET, "other": 1},
        [KEY],
    ],
)
def test_secrets_that_cannot_be_used_are_refused_and_not_told(tmp_path: Path, content: object) -> None:
    _write(tmp_path, content)
    with pytest.raises(InvalidSetting) as caught:
        stripe_secrets(tmp_path)
    assert KEY not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_nothing_prints_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    secrets = StripeSecrets(KEY, SECRET)
    inbox = StripeInbox(SECRET, ManualClock(NOW), livemode=True)
    logging.getLogger("billing").warning("configured %s %r %s", secrets, inbox, [secrets])
    assert KEY not in caplog.text
    assert SECRET not in caplog.text
