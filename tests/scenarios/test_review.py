"""Review: with four eyes, nobody changes what is on sale alone, and what was approved is what was looked at."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from catalog.passport import Passport, PassportRefused
from catalog.registry import audit
from catalog.registry.differences import Change, changes
from catalog.registry.publish import Publication, publish
from catalog.registry.published import current
from catalog.registry.review import Submission, approve, find_submission, reject, submissions, submit
from catalog.vocabulary.problem import Problem
from catalog.vocabulary.settings import InvalidSetting
from deploy.cli import main
from deploy.database import Database
from deploy.settings import from_environment
from tests.passports import echo_passport, plan

NOW = datetime(2026, 6, 15, 10, 30, tzinfo=UTC)
LATER = NOW + timedelta(hours=2)
AUTHOR, REVIEWER = "operator@author", "operator@reviewer"
DEARER = echo_passport(plans=[plan("standard", unit_price="0.06")])


@asynccontextmanager
async def transaction(pool: asyncpg.Pool) -> AsyncIterator[Any]:
    async with pool.acquire() as connection, connection.transaction():
        yield connection


async def on_sale(pool: asyncpg.Pool) -> Passport | None:
    async with transaction(pool) as connection:
        found = (await current(connection)).get("echo")
    return found.passport if found else None


async def published(pool: asyncpg.Pool, passport: Passport) -> Publication:
    async with transaction(pool) as connection:
        return await publish(connection, passport, echo_passport(), AUTHOR, NOW)


async def submitted(pool: asyncpg.Pool, passport: Passport = DEARER) -> Submission:
    async with transaction(pool) as connection:
        made = await submit(connection, passport, echo_passport(), AUTHOR, NOW)
    assert made is not None
    return made


async def approved(pool: asyncpg.Pool, id_: str, *, built_in: Passport | None = None) -> Publication:
    async with transaction(pool) as connection:
        return await approve(connection, id_, built_in or echo_passport(), REVIEWER, LATER)


async def written(admin: asyncpg.Connection) -> list[int]:
    tables = ("passport", "price_version", "submission", "review", "audit")
    return [await admin.fetchval(f"SELECT count(*) FROM catalog.{table}") for table in tables]  # noqa: S608 - constants


async def test_what_is_on_sale_stays_until_somebody_else_approves(gateway_pool: asyncpg.Pool) -> None:
    await published(gateway_pool, echo_passport())
    made = await submitted(gateway_pool)
    assert await on_sale(gateway_pool) == echo_passport()
    async with transaction(gateway_pool) as connection:
        assert await submissions(connection) == (made,)
    done = await approved(gateway_pool, made.id)
    assert done == Publication("echo", "1.0.0", 2, changed=True, new_prices=("echo/standard/echo/CNY@2",))
    assert await on_sale(gateway_pool) == DEARER
    async with transaction(gateway_pool) as connection:
        assert await submissions(connection) == ()
        (kept,) = await submissions(connection, decided=True)
        trail = await connection.fetch("SELECT actor, action FROM catalog.audit ORDER BY seq")
        assert (await audit.verify(connection)).is_sound
    assert (kept.verdict, kept.revision, kept.reviewed_by, kept.reviewed_at) == (
        "approved",
        2,
        REVIEWER,
        LATER,
    )
    assert [tuple(entry) for entry in trail] == [
        (AUTHOR, "service.publish"),
        (AUTHOR, "service.submit"),
        (REVIEWER, "service.publish"),
        (REVIEWER, "service.approve"),
    ]


async def test_nobody_approves_what_they_submitted(
    gateway_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    made = await submitted(gateway_pool)
    with pytest.raises(Problem, match=f"{AUTHOR} submitted {made.id}: somebody else has to approve it"):
        async with transaction(gateway_pool) as connection:
            await approve(connection, made.id, echo_passport(), AUTHOR, LATER)
    assert await on_sale(gateway_pool) is None
    with pytest.raises(asyncpg.CheckViolationError):  # whatever the code says
        await admin.execute(
            "INSERT INTO catalog.review (submission_id, submitted_by, verdict, revision, reviewed_at, reviewed_by)"
            " VALUES ($1, $2, 'approved', 1, now(), $2)",
            made.id,
            AUTHOR,
        )


async def test_a_bad_passport_cannot_even_be_submitted(
    gateway_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    with pytest.raises(PassportRefused, match="this installation runs version"):
        await submitted(gateway_pool, echo_passport(version="1.1.0"))
    assert await written(admin) == [0, 0, 0, 0, 0]


async def test_a_submission_is_checked_again_against_the_code_that_runs_when_it_is_approved(
    gateway_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    made = await submitted(gateway_pool)
    before = await written(admin)
    with pytest.raises(PassportRefused, match=r"this installation runs version 1\.1\.0"):
        await approved(gateway_pool, made.id, built_in=echo_passport(version="1.1.0"))
    assert await written(admin) == before


async def test_a_change_that_was_overtaken_by_another_publication_is_not_approved(
    gateway_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    made = await submitted(gateway_pool)
    await published(gateway_pool, echo_passport(plans=[plan("standard", unit_price="9.99")]))
    before = await written(admin)
    with pytest.raises(Problem, match="echo has changed from revision 0 to 1 since it was submitted; reject"):
        await approved(gateway_pool, made.id)
    assert await written(admin) == before


async def test_whoever_submitted_may_withdraw_and_a_decision_is_made_once(gateway_pool: asyncpg.Pool) -> None:
    made = await submitted(gateway_pool)
    with pytest.raises(Problem, match="say why"):
        async with transaction(gateway_pool) as connection:
            await reject(connection, made.id, "  ", AUTHOR, LATER)
    async with transaction(gateway_pool) as connection:
        await reject(connection, made.id, "a typing mistake", AUTHOR, LATER)
    with pytest.raises(Problem, match=f"{made.id} was rejected by {AUTHOR} already"):
        await approved(gateway_pool, made.id)
    async with transaction(gateway_pool) as connection:
        found = await find_submission(connection, made.id)
    assert (found.verdict, found.reason) == ("rejected", "a typing mistake")
    assert await on_sale(gateway_pool) is None


async def test_of_two_who_decide_at_the_same_moment_one_does(gateway_pool: asyncpg.Pool) -> None:
    made = await submitted(gateway_pool)

    async def rejected() -> None:
        async with transaction(gateway_pool) as connection:
            await reject(connection, made.id, "no", REVIEWER, LATER)

    done = await asyncio.gather(approved(gateway_pool, made.id), rejected(), return_exceptions=True)
    (refused,) = [one for one in done if isinstance(one, BaseException)]
    assert isinstance(refused, Problem)
    assert refused.type.name == "conflict"
    async with transaction(gateway_pool) as connection:
        verdict = (await find_submission(connection, made.id)).verdict
    assert (await on_sale(gateway_pool) is not None) == (verdict == "approved")


async def test_submitting_the_same_again_is_one_submission_and_what_is_on_sale_none(
    gateway_pool: asyncpg.Pool,
) -> None:
    made = await submitted(gateway_pool)
    assert await submitted(gateway_pool) == made
    await published(gateway_pool, DEARER)
    async with transaction(gateway_pool) as connection:
        assert await submit(connection, DEARER, echo_passport(), AUTHOR, LATER) is None


async def test_an_unknown_submission_says_where_to_look(gateway_pool: asyncpg.Pool) -> None:
    with pytest.raises(Problem, match="`ordergate review list` shows those that wait"):
        await approved(gateway_pool, "review_none")


async def test_nobody_can_change_what_was_submitted_or_decided(
    gateway_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    made = await submitted(gateway_pool)
    await approved(gateway_pool, made.id)
    for table in ("submission", "review"):
        for statement in (f"DELETE FROM catalog.{table}", f"UPDATE catalog.{table} SET submitted_by = 'x'"):  # noqa: S608 - constants
            with pytest.raises(asyncpg.RestrictViolationError):
                await admin.execute(statement)
            async with gateway_pool.acquire() as connection:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement)


def test_a_reviewer_sees_the_smallest_values_that_differ() -> None:
    before = {"a": {"b": [1, 2], "c/d": "x"}, "same": {"deep": [1]}}
    after = {"a": {"b": [1, 3, 4], "c/d": "y"}, "same": {"deep": [1]}, "new": {"n": 1}}
    assert list(changes(before, after)) == [
        Change("/a/b/1", 2, 3),
        Change("/a/b/2", None, 4),
        Change("/a/c~1d", "x", "y"),
        Change("/new", None, {"n": 1}),
    ]


DOCUMENTS = st.recursive(
    st.none() | st.integers(0, 3) | st.text(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("a/~", max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(DOCUMENTS)
def test_a_document_does_not_differ_from_itself(document: Any) -> None:
    assert list(changes(document, document)) == []


# --- the command line


def test_publish_submits_where_review_is_required(database: Database, tmp_path: Path) -> None:
    url = f"postgresql://postgres@/{database.name}?host={quote(str(database.socket_dir), safe='/')}&port=5432"
    environment = {
        "ORDERGATE_HOME": str(tmp_path / "home"),
        "ORDERGATE_DATABASE_URL": url,
        "ORDERGATE_REVIEW": "required",
    }
    bench = str(Path(__file__).parents[2] / "atomic_services" / "bench")

    def run(*arguments: str, fails: int = 0) -> Result:
        result = CliRunner().invoke(main, arguments, env=environment)
        assert result.exit_code == fails, result.output
        return result

    assert run("publish", bench, "--dry-run").output == "bench 1.0.0 would be submitted for review\n"
    assert json.loads(run("review", "list", "--json").output) == []
    assert "bench 1.0.0 waits for review as review_" in run("publish", bench).output
    (waiting,) = json.loads(run("review", "list", "--json").output)
    assert (waiting["service"], waiting["version"], waiting["verdict"]) == ("bench", "1.0.0", None)
    assert "waits" in run("review", "list").output
    assert "/plans" in run("review", "show", waiting["id"]).output
    assert json.loads(run("review", "show", waiting["id"], "--json").output)["changes"]
    assert "somebody else has to approve it" in run("review", "approve", waiting["id"], fails=1).stderr
    assert json.loads(run("services", "--json").output) == []
    assert run("review", "reject", waiting["id"], fails=2).stdout == ""
    assert "bench stays as it is" in run("review", "reject", waiting["id"], "--reason", "not yet").output
    assert json.loads(run("review", "list", "--json").output) == []
    assert "not yet" in run("review", "list", "--all").output


def test_a_reviewer_sees_what_is_charged_today_what_is_scheduled_and_what_would_begin(
    database: Database, tmp_path: Path
) -> None:
    url = f"postgresql://postgres@/{database.name}?host={quote(str(database.socket_dir), safe='/')}&port=5432"
    environment = {"ORDERGATE_HOME": str(tmp_path / "home"), "ORDERGATE_DATABASE_URL": url}
    bench = Path(__file__).parents[2] / "atomic_services/bench/passport.yaml"

    def run(*arguments: str, review: str = "") -> Result:
        result = CliRunner().invoke(main, arguments, env={**environment, "ORDERGATE_REVIEW": review})
        assert result.exit_code == 0, result.output
        return result

    def priced(amount: str, effective_from: str = "2026-01-01") -> str:
        text = bench.read_text("utf-8").replace('unit_price: "0"', f'unit_price: "{amount}"')
        path = tmp_path / "passport.yaml"
        path.write_text(
            text.replace("effective_from: 2026-01-01", f"effective_from: {effective_from}"), "utf-8"
        )
        return str(path)

    run("publish", priced("0.085"))
    run("publish", priced("0.095", "2100-12-01"))
    run("publish", priced("0.080"), review="required")
    (waiting,) = json.loads(run("review", "list", "--json").output)
    shown = run("review", "show", waiting["id"]).output
    assert re.search(
        r"plan bench: 0\.085 CNY -> 0\.080 CNY from now \(.*\); no longer 0\.095 CNY from 2100-12-01", shown
    )
    assert "on sale" not in shown
    (change,) = json.loads(run("review", "show", waiting["id"], "--json").output)["prices"]
    assert (change["before"], change["after"]) == ("0.085 CNY", "0.080 CNY")
    assert [one["begins_on"] for one in change["superseded"]] == ["2100-12-01"]


def test_only_required_switches_review_on() -> None:
    assert from_environment({"ORDERGATE_REVIEW": "required"}).review_required
    assert not from_environment({"ORDERGATE_REVIEW": ""}).review_required
    with pytest.raises(InvalidSetting, match="write `required`, or leave it unset"):
        from_environment({"ORDERGATE_REVIEW": "yes"})
