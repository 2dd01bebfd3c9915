"""`ordergate result`: what the provider states and the payer agrees to by mail, on the command line."""

import asyncio
import json
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from catalog.vocabulary.ids import result_id_text
from deploy.database import Database
from deploy.roles import BILLING
from tests.command_lines import Run, command_line
from tests.result_books import PROVEN, SAVED, add_share, answered
from tests.usage_books import add_account, use

_SAMPLE = ("--baseline", "28.60", "--measured", "17.90", "--volume", "501869", "--evidence", "as audited")
_SMALL = ("--baseline", "3", "--measured", "2", "--volume", "100", "--evidence", "counted again")


@pytest.fixture
def run(database: Database, tmp_path: Path) -> Run:
    return partial(command_line(database, tmp_path / "home"), "result")


def _arrange(database: Database) -> str:
    """An account that was answered under both kinds of price; the id of the result that a reply stated."""
    event = answered("200")

    async def arrange() -> None:
        admin = await asyncpg.connect(**database.admin())
        await add_account(admin, "acct_a", name="brand")
        await add_share(admin, "proven", PROVEN, {"rate_pct": "10"})
        await add_share(admin, "saved", SAVED, {"rate_pct": "10", "of": "/reply/saving"})
        settings = {"ordergate.account": "*"}
        async with asyncpg.create_pool(**database.as_role(BILLING, settings), min_size=1, max_size=1) as pool:
            await use(pool, [event, answered(price="proven")])
        await admin.close()

    asyncio.run(arrange())
    return result_id_text(event.uuid)


def test_results_are_stated_listed_withdrawn_declined_and_accepted(database: Database, run: Run) -> None:
    replied = _arrange(database)
    month = ("brand", "--period", "2026-11")

    def shown() -> dict[str, Any]:
        statement: dict[str, Any] = json.loads(run("list", *month, "--json").output)
        return statement

    stated = json.loads(run("state", "brand", PROVEN, "--period", "2026-11", *_SAMPLE, "--json").output)
    assert (stated["state"], stated["result"], stated["share"]["amount"]) == (
        "stated",
        "5369998.30",
        "536999.83",
    )
    assert (shown()["open"], shown()["total"]["amount"]) == (2, "537019.83")
    assert "not ours" in run("decline", replied, "--reason", "not ours").output
    assert "mistaken" in run("withdraw", stated["id"], "--reason", "mistaken").output
    again = json.loads(run("restate", replied, *_SMALL, "--json").output)
    assert (again["state"], again["result"], again["evidence"]) == ("stated", "100", "counted again")
    listed = run("list", *month).output
    assert "customs/check: 1 open (10.00), 0 accepted (0.00), 0 declined (0.00)" in listed
    assert "1 open, 10.00 CNY once they are accepted" in listed

    refused = run("accept", *month, "--total", "11.00", fails=1)
    assert "come to 10.00 CNY now" in refused.output
    assert "1 result of 2026-11 accepted: 10.00 CNY" in run("accept", *month, "--total", "10.00").output
    assert "No result of 2026-11 waits" in run("accept", *month, "--total", "0", fails=1).output
    assert "what was accepted is not stated anew" in run("restate", replied, *_SMALL, fails=1).output
    assert {one["id"]: one["state"] for one in shown()["data"]} == {
        replied: "accepted",
        stated["id"]: "withdrawn",
    }


def test_what_cannot_be_stated_names_the_option_or_the_remedy(database: Database, run: Run) -> None:
    replied = _arrange(database)
    nothing = ("--baseline", "1", "--measured", "2", "--volume", "3", "--evidence", "x")
    state = ("state", "brand", PROVEN, "--period")
    assert "--measured: the measured value is not below" in run(*state, "2026-11", *nothing, fails=1).output
    assert "name the month of one" in run(*state, "2026-09", *_SMALL, fails=1).output
    assert "no answered call" in run(*state, "2026-11", "--env", "test", *_SMALL, fails=1).output
    slip = run("state", "brand", f"{PROVEN}x", "--period", "2026-11", *_SMALL, fails=1).output
    assert f"OPERATION: there is no operation '{PROVEN}x'; did you mean `{PROVEN}`?" in slip
    for empty in (("decline", replied, "--reason", ""), ("decline", replied, "--reason", " ")):
        assert "--reason: write 1 to 1000 characters" in run(*empty, fails=1).output
    unproven = (*_SMALL[:-1], "")
    assert "--evidence: write 1 to 1000" in run(*state, "2026-11", *unproven, fails=1).output
    assert "There is no account 'nobody'" in run("list", "nobody", fails=1).output
    assert "32 hexadecimal digits" in run("withdraw", "result_1", "--reason", "x", fails=2).output
    assert "There is no result" in run("withdraw", f"result_{'0' * 32}", "--reason", "x", fails=1).output
