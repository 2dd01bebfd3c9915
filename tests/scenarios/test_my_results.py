"""The payer's page shows what waits for its acceptance, and its members accept it at the amount that they read."""

import re

import asyncpg
import httpx

from tests.control_plane import Installation
from tests.result_books import SAVED, add_share, answered
from tests.scenarios.test_sign_in import invite, me, signed_in
from tests.usage_books import use

_TOKEN = re.compile(r'name="token" value="([0-9a-f]+)"')


async def _arranged(
    plane: Installation, admin: asyncpg.Connection, pool: asyncpg.Pool
) -> tuple[str, dict[str, str]]:
    """An account with two open results of 30.00 together, and the headers of a member."""
    owner = await plane.open("brand")
    await add_share(admin, "saved", SAVED, {"rate_pct": "10", "of": "/reply/saving"})
    await use(pool, [answered("100", payer=owner.id), answered("200", payer=owner.id)])
    _, link = await invite(plane, "member@example.com", "member", owner)
    return owner.id, await signed_in(plane, link)


async def _accept(
    plane: Installation, account: str, headers: dict[str, str], page: str, total: str = "30.00", **fields: str
) -> httpx.Response:
    token = _TOKEN.findall(page)
    form = {"token": token[0] if token else "", "period": "2026-11", "total": total, **fields}
    return await plane.client.post(f"/me/{account}/results", data=form, headers=headers)


async def test_a_member_accepts_on_the_page_what_it_shows(
    plane: Installation, admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    account, headers = await _arranged(plane, admin, billing_pool)
    page = (await me(plane, headers)).text
    assert "Results of 2026-11 waiting for your acceptance" in page
    assert "Accept all (2) for 30.00 CNY" in page
    assert '<span class="light warn">2 open</span>' in page
    chinese = (await plane.client.get("/me?lang=zh-CN", headers=headers)).text
    assert "确认 2 项成果，费用 30.00 CNY" in chinese
    stale = await _accept(plane, account, headers, page, "20.00")
    assert (stale.status_code, "come to 30.00 CNY now" in stale.text) == (409, True)
    assert (await _accept(plane, account, headers, page, token="0" * 64)).status_code == 403
    assert (await _accept(plane, account, headers, page, "x")).status_code == 400
    assert (await _accept(plane, account, headers, page, period="May")).status_code == 400
    done = await _accept(plane, account, headers, page)
    assert (done.status_code, done.headers["location"]) == (303, f"/me?account={account}")
    assert "waiting for your acceptance" not in (await me(plane, headers)).text
    (audited,) = await admin.fetch("SELECT actor FROM catalog.audit WHERE action = 'result.accept'")
    assert audited["actor"].startswith("user/")


async def test_who_only_looks_into_an_account_does_not_agree_for_it(
    plane: Installation, admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    account, headers = await _arranged(plane, admin, billing_pool)
    page = (await me(plane, headers)).text
    other = await plane.open("other")
    for role, owners in (("operator", ()), ("member", (other,))):
        _, link = await invite(plane, f"{role}-2@example.com", role, *owners)
        looking = await signed_in(plane, link)
        seen = (await me(plane, looking, f"&account={account}" if role == "operator" else "")).text
        assert "Accept all" not in seen
        assert ("waiting for your acceptance" in seen) == (role == "operator")
        refused = await _accept(plane, account, looking, seen)
        assert refused.status_code == 403
    assert (await _accept(plane, account, {}, page)).status_code == 403
    assert await admin.fetchval("SELECT count(*) FROM billing.result_step") == 0
