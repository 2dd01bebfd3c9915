"""A payer contests a line: the money is held, the provider decides once, and the books agree at every step."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import httpx
import pytest

from billing.desk import close
from billing.invoice.calendar import ClosePolicy, set_close_policy
from billing.invoice.dispute import accept_dispute, reject_dispute
from billing.transaction import all_accounts
from catalog.vocabulary.clock import ManualClock, from_ns
from catalog.vocabulary.ids import call_id_text
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Problem
from deploy.roles import GATEWAY
from tests.gateways import RunningGateway
from tests.settled_books import assert_books_agree, ledger
from tests.usage_books import add_price, call, use

OCTOBER_5 = datetime(2026, 10, 5, 4, tzinfo=UTC)
OCTOBER = Period(2026, 10)
NOVEMBER_1 = datetime(2026, 11, 1, 2, tzinfo=UTC)
REASON = "the certificate was issued twice"


class _Payer:
    """bu-04: two certificates at 14.00 and three checks at 3.60 in October."""

    def __init__(self, gateway: RunningGateway, pool: asyncpg.Pool, account_id: str, key: str) -> None:
        self.gateway, self.pool, self.id, self.key = gateway, pool, account_id, key
        self.certificates = [self._call("customs/certificate", "certificate", n) for n in range(2)]
        self.checks = [self._call("customs/check", "check", n) for n in range(3)]

    def _call(self, operation: str, price: str, minute: int) -> Any:
        return call(self.id, OCTOBER_5 + timedelta(minutes=minute), operation=operation, price_version=price)

    async def close(self, at: datetime = NOVEMBER_1) -> None:
        await close(self.pool, OCTOBER, ManualClock(at))

    async def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}"}
        return await self.gateway.client.request(
            method, f"/api/invoices/2026-10{path}", json=body, headers=headers
        )

    async def dispute(self, **body: Any) -> httpx.Response:
        return await self.ask("POST", "/disputes", {"reason": REASON, **body})

    async def held(self) -> dict[str, Decimal]:
        found = await ledger(self.gateway.admin, "%")
        return {name: amount for (whose, name), amount in found.items() if whose == self.id}


async def _payer(gateway: RunningGateway, pool: asyncpg.Pool, name: str = "bu-04") -> _Payer:
    opened = await gateway.open_account(name)
    payer = _Payer(gateway, pool, opened.account.id, await gateway.create_key(opened))
    await use(pool, [*payer.certificates, *payer.checks])
    return payer


@pytest.fixture
async def payer(gateway: RunningGateway, billing_pool: asyncpg.Pool) -> _Payer:
    await add_price(gateway.admin, "certificate", "customs/certificate", price={"unit_price": "14.00"})
    await add_price(gateway.admin, "check", "customs/check", price={"unit_price": "3.60"})
    return await _payer(gateway, billing_pool)


async def test_a_contested_certificate_is_held_and_credited_once_when_the_provider_agrees(
    payer: _Payer, admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await payer.close()
    assert await payer.held() == {"receivable": Decimal("38.80")}
    made = await payer.dispute(line=1, amount="14.00")
    assert made.status_code == 201
    dispute = made.json()
    assert (dispute["state"], dispute["operation"]) == ("open", "customs/certificate")
    assert dispute["amount"] == {"amount": "14.00", "currency": "CNY"}
    assert await payer.held() == {"receivable": Decimal("24.80"), "disputed": Decimal("14.00")}
    assert (await payer.ask("GET", "")).json()["disputed"] == "14.00"
    await assert_books_agree(billing_pool)
    async with all_accounts(billing_pool) as connection:
        decided = await accept_dispute(connection, dispute["id"], "it was", "operator@test", NOVEMBER_1)
    assert decided.state == "accepted"
    assert decided.credit_note == "CN-2026-000001"
    assert await payer.held() == {"receivable": Decimal("24.80")}
    assert (await ledger(admin, "earnings:customs"))[("house", "earnings:customs")] == Decimal("-24.80")
    await assert_books_agree(billing_pool)
    for ruling in (accept_dispute, reject_dispute):
        with pytest.raises(Problem, match="decided once"):
            async with all_accounts(billing_pool) as connection:
                await ruling(connection, dispute["id"], "again", "operator@test", NOVEMBER_1)
    listed = (await payer.ask("GET", "/disputes")).json()
    assert [(one["id"], one["state"], one["ruling"]) for one in listed["data"]] == [
        (dispute["id"], "accepted", "it was")
    ]
    assert (await payer.ask("GET", "")).json()["disputed"] == "0.00"
    assert (await payer.ask("GET", "")).json()["total"] == "38.80", "what is issued stays as it is"
    actions = await admin.fetch("SELECT action FROM catalog.audit WHERE action LIKE 'dispute.%' ORDER BY seq")
    assert [row["action"] for row in actions] == ["dispute.open", "dispute.accepted"]
    told = await admin.fetch("SELECT kind FROM catalog.outbox WHERE account_id = $1", payer.id)
    assert [row["kind"] for row in told] == ["dispute.accepted"]
    assert (await payer.dispute(line=1, amount="14.01")).status_code == 400, "14.00 of 28.00 are left"
    assert (await payer.dispute(line=1, amount="14.00")).status_code == 201


async def test_a_credit_note_is_listed_beside_what_it_corrects_and_read_in_every_form(
    payer: _Payer, gateway: RunningGateway, billing_pool: asyncpg.Pool
) -> None:
    other = await gateway.create_key(await gateway.open_account("bu-05"))
    await payer.close()
    dispute = (await payer.dispute(line=1, amount="14.00")).json()
    async with all_accounts(billing_pool) as connection:
        await accept_dispute(connection, dispute["id"], "it was", "operator@test", NOVEMBER_1)

    entry = {
        "number": "CN-2026-000001",
        "reason": "correction",
        "total": {"amount": "14.00", "currency": "CNY"},
        "issued_at": "2026-11-01T02:00:00Z",
    }
    invoice = (await payer.ask("GET", "")).json()
    assert invoice["credit_notes"] == [entry]

    async def read(path: str, key: str) -> httpx.Response:
        return await gateway.client.get(path, headers={"Authorization": f"Bearer {key}"})

    listed = (await read("/api/invoices", payer.key)).json()["data"]
    assert [one["credit_notes"] for one in listed] == [[entry]]
    path = "/api/credit-notes/CN-2026-000001"
    note = (await read(path, payer.key)).json()
    assert (note["kind"], note["state"], note["total"]) == ("credit_note", "issued", "14.00")
    assert note["corrects"] == {"number": invoice["number"], "period": "2026-10", "reason": "correction"}
    assert [(line["kind"], line["service"], line["amount"]) for line in note["lines"]] == [
        ("credited", "customs", "14.00")
    ]
    for form, start in (("pdf", b"%PDF-"), ("xlsx", b"PK"), ("csv", b"\xef\xbb\xbfrow,number,")):
        printed = await read(f"{path}?format={form}", payer.key)
        assert printed.content.startswith(start)
        assert "CN-2026-000001" in printed.headers["content-disposition"]
    for wrong, key in (
        (path, other),
        ("/api/credit-notes/CN-2026-000002", payer.key),
        ("/api/credit-notes/%00", payer.key),
    ):
        assert (await read(wrong, key)).status_code == 404


async def test_a_rejected_dispute_is_owed_again(payer: _Payer, billing_pool: asyncpg.Pool) -> None:
    await payer.close()
    dispute = (await payer.dispute(line=2, amount="3.60")).json()
    async with all_accounts(billing_pool) as connection:
        decided = await reject_dispute(connection, dispute["id"], "three checks", "operator@test", NOVEMBER_1)
    assert (decided.state, decided.ruling, decided.credit_note) == ("rejected", "three checks", None)
    assert await payer.held() == {"receivable": Decimal("38.80")}
    await assert_books_agree(billing_pool)


async def test_a_rejection_is_final_for_its_line_and_single_calls_can_still_be_disputed(
    payer: _Payer, billing_pool: asyncpg.Pool
) -> None:
    await payer.close()
    first = (await payer.dispute(line=1, amount="14.00")).json()
    async with all_accounts(billing_pool) as connection:
        await reject_dispute(connection, first["id"], "it was asked for", "operator@test", NOVEMBER_1)
    again = await payer.dispute(line=1, amount="13.99")
    assert (again.status_code, again.json()["detail"]) == (
        409,
        f"This line was disputed before, and {first['id']} was rejected (it was asked for). That is final: single calls of "
        "the line can be disputed, and the provider can take it up again where there is new evidence.",
    )
    assert await payer.held() == {"receivable": Decimal("38.80")}
    call = call_id_text(payer.certificates[0].uuid)
    assert (await payer.dispute(call=call, amount="14.00")).status_code == 201
    assert (await payer.dispute(line=2, amount="3.60")).status_code == 201
    await assert_books_agree(billing_pool)


async def test_a_call_is_disputed_once_and_a_line_once_at_a_time(payer: _Payer) -> None:
    await payer.close()
    one, two = (call_id_text(event.uuid) for event in payer.certificates)
    assert (await payer.dispute(call=one, amount="14.00")).json()["call_id"] == one
    again = await payer.dispute(call=one, amount="14.00")
    assert (again.status_code, again.json()["detail"]) == (
        409,
        "This call was disputed before; a call is disputed once.",
    )
    assert (await payer.dispute(line=1, amount="10.00")).status_code == 201
    assert (await payer.dispute(line=1, amount="1.00")).status_code == 409
    assert (await payer.dispute(call=two, amount="4.01")).status_code == 400
    assert (await payer.dispute(call=two, amount="4.00")).status_code == 201
    assert await payer.held() == {"receivable": Decimal("10.80"), "disputed": Decimal("28.00")}
    page = (await payer.ask("GET", "/disputes?limit=2")).json()
    rest = (await payer.ask("GET", f"/disputes?limit=2&after={page['next']}")).json()
    assert [len(page["data"]), len(rest["data"]), rest["next"]] == [2, 1, None]


async def test_what_cannot_be_disputed_is_refused_and_holds_nothing(payer: _Payer) -> None:
    refused = await payer.dispute(line=1, amount="-1.00")
    assert refused.json()["errors"][0]["detail"] == (
        "a positive amount as a decimal string such as 12.50 is needed"
    )
    await payer.close()
    bodies: list[tuple[dict[str, Any], int]] = [
        ({"line": 3, "amount": "1.00"}, 400),
        ({"line": 1, "amount": "0"}, 400),
        ({"line": 1, "amount": "28.01"}, 400),
        ({"line": 1, "amount": "0.005"}, 400),
        ({"line": 1, "amount": "-1"}, 400),
        ({"amount": "1.00"}, 400),
        ({"line": 1, "call": "call_x", "amount": "1.00"}, 400),
        ({"call": "call_x", "amount": "1.00"}, 400),
        ({"call": "call_" + "0" * 32, "amount": "1.00"}, 404),
        ({"line": 1, "amount": "1.00", "reason": ""}, 400),
        ({"line": 1, "amount": "1.00", "refund": True}, 400),
    ]
    for body, status in bodies:
        assert (await payer.dispute(**body)).status_code == status, body
    assert await payer.held() == {"receivable": Decimal("38.80")}


async def test_nobody_disputes_a_running_draft_or_another_accounts_document(
    payer: _Payer, gateway: RunningGateway, billing_pool: asyncpg.Pool
) -> None:
    missing = await payer.ask("POST", "/disputes", {"line": 1, "amount": "1.00", "reason": REASON})
    assert missing.status_code == 404
    await payer.close(NOVEMBER_1)
    stranger = await gateway.open_account("stranger")
    key = await gateway.create_key(stranger)
    made = (await payer.dispute(line=1, amount="14.00")).json()
    theirs = await gateway.client.get(
        "/api/invoices/2026-10/disputes", headers={"Authorization": f"Bearer {key}"}
    )
    assert theirs.status_code == 404
    async with all_accounts(billing_pool) as connection:
        with pytest.raises(Problem, match="no dispute"):
            await accept_dispute(connection, "dsp_none", "x", "operator@test", NOVEMBER_1)
    assert made["state"] == "open"


async def test_the_gateways_role_can_hold_money_and_write_nothing_else(
    payer: _Payer, gateway: RunningGateway
) -> None:
    await payer.close()
    connection = await asyncpg.connect(**gateway.database.as_role(GATEWAY, {"ordergate.account": payer.id}))
    try:
        for statement in (
            "INSERT INTO billing.ledger_transaction (environment, kind, source, booked_at) VALUES ('live', 'issue', 'x', now())",
            "INSERT INTO billing.posting VALUES (1, 9, 'house', 'cash', 'CNY', 1)",
            "INSERT INTO billing.dispute_ruling VALUES ('x', 'x', 'rejected', 'x', NULL, now(), 'x')",
            "SELECT FROM billing.posting",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


async def test_with_a_calendar_a_draft_is_disputed_on_day_one_and_held_from_its_issue(
    payer: _Payer, gateway: RunningGateway, admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    async with admin.transaction():
        await set_close_policy(admin, "internal", ClosePolicy(1, 2), "operator@test", NOVEMBER_1)
    await payer.close(NOVEMBER_1)
    draft = (await payer.ask("GET", "")).json()
    assert (draft["state"], draft["calendar"]) == (
        "draft",
        {
            "draft_at": "2026-10-31T16:00:00Z",
            "disputes_at": "2026-11-01T16:00:00Z",
            "issue_at": "2026-11-02T16:00:00Z",
        },
    )
    # The gateway's clock is the machine's, long after day one.
    first = (await payer.dispute(line=1, amount="14.00")).json()
    second = (await payer.dispute(line=2, amount="3.60")).json()
    assert await payer.held() == {"accrued": Decimal("38.80")}, "a draft owes nothing yet"
    async with all_accounts(billing_pool) as connection:
        with pytest.raises(Problem, match="once it is issued"):
            await accept_dispute(connection, first["id"], "yes", "operator@test", NOVEMBER_1)
    async with all_accounts(billing_pool) as connection:
        await reject_dispute(connection, second["id"], "no", "operator@test", NOVEMBER_1)
    await assert_books_agree(billing_pool)
    await payer.close(from_ns(gateway.clock.now_ns()))
    assert (await payer.ask("GET", "")).json()["state"] == "issued"
    assert await payer.held() == {"receivable": Decimal("24.80"), "disputed": Decimal("14.00")}
    await assert_books_agree(billing_pool)
