"""People sign in with a link that works once, see their own accounts and nobody else's, and can be signed out."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import asyncpg
import httpx
import pytest

from billing.desk import close
from billing.invoice.credit_note import CreditLine, issue_credit_note
from billing.invoice.rate_pending import rate_pending
from billing.transaction import all_accounts
from catalog.accounts.role import ROLES
from catalog.accounts.user import User, create_user, find_user, list_users
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Problem
from gateway.stores.sign_in import (
    LINK_LASTS,
    SESSION_LASTS,
    anybody_signed_in,
    end_sessions,
    make_link,
    use_link,
)
from tests.contract.test_pages import Page
from tests.control_plane import NOW, Installation, Owner
from tests.usage_books import call, use

_COOKIE = "ordergate_session"
PRICE = "address/internal-2026/validate/CNY@1"


async def invite(plane: Installation, email: str, role: str, *owners: Owner) -> tuple[User, str]:
    """A person and the path of their link."""
    async with plane.gateway_pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('ordergate.account', '*', true)")
        user = await create_user(
            connection,
            email=email,
            role=role,
            accounts=[owner.opened.account for owner in owners],
            actor="tests",
            now=NOW,
        )
        return user, f"/sign-in/{await make_link(connection, user, actor='tests', now=NOW)}"


async def signed_in(plane: Installation, link: str) -> dict[str, str]:
    """Headers of a request with the session that the link gives."""
    reply = await plane.client.post(link)
    assert (reply.status_code, reply.headers["location"]) == (303, "/me")
    plane.client.cookies.clear()
    return {"cookie": reply.headers["set-cookie"].partition(";")[0]}


async def me(plane: Installation, headers: dict[str, str], query: str = "") -> httpx.Response:
    return await plane.client.get(f"/me?lang=en{query}", headers=headers)


async def test_a_link_is_opened_as_often_as_one_likes_and_used_once(plane: Installation) -> None:
    _, link = await invite(plane, "Li.Wei@Example.com", "operator")
    for _ in range(3):
        page = await plane.get(f"{link}?lang=en")
        assert page.status_code == 200
        assert "<form" in page.text
        assert page.headers["cache-control"] == "no-store"
    together = await asyncio.gather(*(plane.client.post(link) for _ in range(5)))
    assert sorted(reply.status_code for reply in together) == [303, 410, 410, 410, 410]
    assert "ordergate user link" in (await plane.get(link)).text
    cookie = next(reply for reply in together if reply.status_code == 303).headers["set-cookie"]
    assert {"Path=/", "HttpOnly", "SameSite=Lax", "Max-Age=43200"} <= set(cookie.split("; "))


async def test_over_https_the_cookie_is_for_this_host_alone(plane: Installation) -> None:
    _, link = await invite(plane, "a@example.com", "finance")
    reply = await plane.client.post(f"https://orders.example{link}")
    name, *attributes = reply.headers["set-cookie"].split("; ")
    assert name.startswith(f"__Host-{_COOKIE}=")
    assert "Secure" in attributes
    assert not [one for one in attributes if one.startswith("Domain")]


async def test_links_and_sessions_end_by_themselves_and_a_new_link_replaces_the_old(
    plane: Installation,
) -> None:
    user, old = await invite(plane, "a@example.com", "operator")
    async with plane.gateway_pool.acquire() as connection, connection.transaction():
        new = await make_link(connection, user, actor="tests", now=NOW)
        assert await use_link(connection, old.rpartition("/")[2], NOW) is None
        assert await use_link(connection, new, NOW + LINK_LASTS) is None
        assert not await anybody_signed_in(connection)
        assert await use_link(connection, "\ud800", NOW) is None
    headers = await signed_in(plane, f"/sign-in/{new}")
    clock = plane.context.clock
    assert isinstance(clock, ManualClock)
    assert "a@example.com" in (await me(plane, headers)).text
    clock.advance(SESSION_LASTS / timedelta(seconds=1))
    assert "You are not signed in" in (await me(plane, headers)).text


async def test_who_reads_the_tables_cannot_sign_in(plane: Installation, admin: asyncpg.Connection) -> None:
    _, link = await invite(plane, "a@example.com", "operator")
    token = link.rpartition("/")[2]
    headers = await signed_in(plane, link)
    session = headers["cookie"].partition("=")[2]
    for table in ("gateway.sign_in_link", "gateway.session", "catalog.audit"):
        text = "\n".join(
            str(row[0])
            for row in await admin.fetch(f"SELECT t::text FROM {table} AS t")  # noqa: S608 - constants
        )
        assert text
        for secret in (token, session, "a@example.com"):
            assert secret not in text, table
    for role in ("ordergate_reader", "ordergate_billing"):
        for table in ("gateway.sign_in_link", "gateway.session"):
            assert not await admin.fetchval("SELECT has_table_privilege($1, $2, 'SELECT')", role, table)


async def test_signing_out_ends_the_session_everywhere_and_only_a_form_of_it_can(plane: Installation) -> None:
    _, link = await invite(plane, "a@example.com", "operator")
    headers = await signed_in(plane, link)
    token = (await me(plane, headers)).text.partition('name="token" value="')[2].partition('"')[0]
    assert len(token) == 64
    for body, more in (
        (b"", {}),
        (b"token=" + b"0" * 64, {}),
        (b"\xff", {}),
        (f"token={token}".encode(), {"sec-fetch-site": "cross-site"}),
        (f"token={token}".encode(), {"sec-fetch-site": "same-site"}),
        (f"token={token}".encode(), {"origin": "https://evil.example"}),
    ):
        reply = await plane.client.post("/sign-out", headers={**headers, **more}, content=body)
        assert (reply.status_code, reply.json()["type"]) == (403, "/problems/forbidden")
    reply = await plane.client.post("/sign-out", headers=headers, content=f"token={token}".encode())
    assert reply.status_code == 303
    assert "Max-Age=0" in reply.headers["set-cookie"]
    assert "You are not signed in" in (await me(plane, headers)).text
    assert (await plane.client.post("/sign-out")).status_code == 303


async def test_another_site_cannot_sign_somebody_in(plane: Installation) -> None:
    _, link = await invite(plane, "a@example.com", "operator")
    reply = await plane.client.post(link, headers={"sec-fetch-site": "cross-site"})
    assert reply.status_code == 403
    assert (
        await plane.client.post(link, headers={"origin": "null", "sec-fetch-site": "same-origin"})
    ).status_code == 303


async def test_an_operator_ends_all_sessions_of_a_person(plane: Installation) -> None:
    user, link = await invite(plane, "a@example.com", "finance")
    headers = await signed_in(plane, link)
    async with plane.gateway_pool.acquire() as connection, connection.transaction():
        assert await end_sessions(connection, user, actor="tests", now=NOW) == 1
        assert await end_sessions(connection, user, actor="tests", now=NOW) == 0
    assert "You are not signed in" in (await me(plane, headers)).text


async def test_a_member_sees_their_accounts_usage_cost_and_documents_and_no_other_account(
    plane: Installation, billing_pool: asyncpg.Pool
) -> None:
    mine, other = await plane.open("bu-01"), await plane.open("bu-02")
    october = NOW - timedelta(days=30)
    await use(
        billing_pool,
        [
            call(who.id, when, price_version=PRICE)
            for who, when in ((mine, october), (mine, NOW), (other, october))
        ],
    )
    await close(billing_pool, Period(2026, 10), ManualClock(NOW))
    _, link = await invite(plane, "a@example.com", "member", mine)
    headers = await signed_in(plane, link)
    page = (await me(plane, headers)).text
    forms = {f"/me/{mine.id}/2026-10?format={form}&lang=en" for form in ("pdf", "xlsx", "csv")}
    assert Page(page).links >= forms
    for told in (
        "a@example.com",
        "Account member",
        "2026-11",
        "address/validate",
        "<rect",
        "S-2026-00000",
        "issued",
    ):
        assert told in page, told
    assert other.id not in page
    for form, start in (("pdf", b"%PDF-"), ("xlsx", b"PK")):
        printed = await plane.client.get(f"/me/{mine.id}/2026-10?format={form}", headers=headers)
        assert printed.content.startswith(start)
    async with all_accounts(billing_pool) as connection:
        invoice = f"inv_live_{mine.id}_2026-10"
        credited = (CreditLine("address", "twice", Decimal("0.01")),)
        note = await issue_credit_note(connection, invoice, "correction", "tests", credited, NOW)
    path = f"/me/{mine.id}/credit-notes/{note.number}"
    assert Page((await me(plane, headers)).text).links >= {
        f"{path}?format={form}&lang=en" for form in ("pdf", "xlsx", "csv")
    }
    assert (await plane.client.get(f"{path}?format=pdf", headers=headers)).content.startswith(b"%PDF-")
    for wrong in (path.replace(mine.id, other.id), f"{path}0"):
        assert (await plane.client.get(wrong, headers=headers)).status_code == 404
    table = await plane.client.get(f"/me/{mine.id}/2026-10", headers=headers)
    assert table.content.startswith(b"\xef\xbb\xbfrow,number,")
    for path in (f"/me/{other.id}/2026-10", f"/me?account={other.id}", f"/me/{mine.id}/october"):
        assert (await plane.client.get(path, headers=headers)).status_code == 404
    assert (await plane.client.get(f"/me/{mine.id}/2026-10")).status_code == 404


async def test_a_member_under_contract_sees_what_the_draft_comes_to_and_as_of_when(
    plane: Installation, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    mine = await plane.open("bu-01")
    await admin.execute("SET ordergate.account = '*'")
    await admin.execute(
        "INSERT INTO catalog.account_terms (id, account_id, service, starts_on, revision, access_fee, discount_pct, minimum, "
        "committed_spend, committed_months, set_at, set_by) "
        "VALUES ('terms_a', $1, '', '2026-09-01', 1, 2.00, 5, 40.00, 0, 0, '2026-09-01Z', 'tests')",
        mine.id,
    )
    await use(billing_pool, [call(mine.id, NOW, price_version=PRICE)])
    await rate_pending(billing_pool, ManualClock(NOW))
    _, link = await invite(plane, "a@example.com", "member", mine)
    headers = await signed_in(plane, link)
    page = (await me(plane, headers)).text
    assert "<dd>40.00 <span>CNY</span></dd>" in page
    assert "<b>40.00</b> CNY" in page, "the draft in the list"
    for told in ("Usage", "Access fee", "Discount", "Top-up to the minimum", "2026-11-22 17:30:00 +08:00"):
        assert told in page, told
    chinese = (await plane.client.get("/me?lang=zh-CN", headers=headers)).text
    assert "补足至最低消费" in chinese


@pytest.mark.parametrize(("role", "sees"), [("operator", True), ("finance", True), ("product_owner", False)])
async def test_operators_and_finance_see_every_account_and_product_owners_none(
    plane: Installation, role: str, sees: bool
) -> None:
    owners = [await plane.open("bu-01"), await plane.open("bu-02")]
    _, link = await invite(plane, "a@example.com", role)
    page = (await me(plane, await signed_in(plane, link))).text
    for owner in owners:
        assert (owner.id in page) == sees
    assert ("belongs to no account" in page) != sees


async def test_a_person_without_calls_or_documents_reads_that_there_are_none(plane: Installation) -> None:
    _, link = await invite(plane, "a@example.com", "member", await plane.open("bu-01"))
    headers = await signed_in(plane, link)
    assert {"No calls this month yet.", "No month has been billed yet."} <= {
        piece.partition("<")[0] for piece in (await me(plane, headers)).text.split('<p class="empty">')
    }
    assert "本月尚无调用" in (await plane.client.get("/me?lang=zh-CN", headers=headers)).text


@pytest.mark.parametrize("cookie", ["", "x", "x" * 5000, "%00", "é"])
async def test_a_cookie_that_is_no_session_is_nobody(plane: Installation, cookie: str) -> None:
    reply = await plane.client.get("/me?lang=en", headers={b"cookie": f"{_COOKIE}={cookie}".encode()})
    assert "You are not signed in" in reply.text


async def test_people_are_refused_with_field_rule_and_remedy(plane: Installation) -> None:
    owner = await plane.open("bu-01")
    account = owner.opened.account
    user, _ = await invite(plane, " Li.Wei@Example.COM ", "member", owner)
    assert (user.email, user.account_ids) == ("li.wei@example.com", (owner.id,))
    async with plane.gateway_pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('ordergate.account', '*', true)")
        assert await find_user(connection, "LI.WEI@example.com") == user
        assert await list_users(connection) == (user,)
        for email, role, accounts, pointers in (
            ("nobody", "operator", (), ["/email"]),
            ("a b@c", "chief", (), ["/email", "/role"]),
            ("a@example.com", "member", (), ["/accounts"]),
            ("a@example.com", "finance", (account,), ["/accounts"]),
            ("a@" + "b" * 300, ROLES[0], (), ["/email"]),
        ):
            with pytest.raises(Problem) as refused:
                await create_user(
                    connection, email=email, role=role, accounts=accounts, actor="tests", now=NOW
                )
            assert [error.pointer for error in refused.value.errors] == pointers
        with pytest.raises(Problem, match="known already"):
            await create_user(
                connection, email="li.wei@EXAMPLE.com", role="finance", accounts=(), actor="t", now=NOW
            )
        with pytest.raises(Problem, match="There is nobody 'x'"):
            await find_user(connection, "x")
