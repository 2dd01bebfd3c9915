"""The commands for accounts, their plans, applications, keys and people: what they print and what they refuse."""

import asyncio
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from catalog.accounts.account import find_account
from catalog.accounts.application import create_application
from deploy.database import Database
from deploy.installation import acting
from tests.command_lines import Run, command_line, with_built_in_services

NOW = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def run(database: Database, tmp_path: Path) -> Run:
    return command_line(database, tmp_path / "home")


@pytest.fixture
def published(run: Run) -> Run:
    return with_built_in_services(run)


def test_an_account_is_opened_with_plans_and_a_key_that_is_printed_alone(published: Run) -> None:
    run = published
    opened = run("account", "create", "bu-01", "--kind", "internal").output
    assert opened.startswith("bu-01 is open as acct_")
    assert "stock" in opened
    made = run("key", "create", "bu-01", "--env", "test", "--label", "shop")
    assert made.stdout.startswith("og_test_")
    assert made.stdout.count("\n") == 1
    assert "cannot be shown again" in made.stderr
    (key,) = json.loads(run("key", "list", "bu-01", "--json").output)
    assert (key["environment"], key["label"], key["revoked_at"]) == ("test", "shop", None)
    assert made.stdout.strip() not in run("key", "list", "bu-01").output
    assert "is revoked" in run("key", "revoke", made.stdout.strip()).output
    shown = json.loads(run("account", "show", "bu-01", "--json").output)
    assert [one["name"] for one in shown["applications"]] == ["default"]
    assert shown["keys"][0]["revoked_at"] is not None
    assert "revoked" in run("account", "show", "bu-01").output
    assert [one["name"] for one in json.loads(run("account", "list", "--json").output)] == ["bu-01"]


def test_an_account_chooses_its_plans(published: Run) -> None:
    run = published
    chosen = run("account", "create", "bench-1", "--subscribe", "bench=bench", "--json").output
    assert [one["service"] for one in json.loads(chosen)["subscriptions"]] == ["bench"]
    assert "is subscribed" not in run("account", "subscribe", "bench-1", "bench=bench", fails=1).output
    run("account", "unsubscribe", "bench-1", "bench")
    assert (
        "bench-1 is subscribed to bench (bench)"
        in run("account", "subscribe", "bench-1", "bench=bench").output
    )
    assert "has no plan 'gold'" in run("account", "create", "x", "--subscribe", "bench=gold", fails=1).stderr
    assert "SERVICE=PLAN" in run("account", "create", "x", "--subscribe", "bench", fails=2).stderr
    run("account", "profile", "bench-1", "--legal-name", "B Ltd", "--address", "1 Road", "--tax-id", "T1")
    assert (
        json.loads(run("account", "show", "bench-1", "--json").output)["account"]["billing_profile"]["tax_id"]
        == "T1"
    )


def test_a_key_belongs_to_the_only_application_or_to_the_one_that_is_named(
    published: Run, database: Database
) -> None:
    run = published

    async def add(name: str) -> None:
        async with acting(database) as transaction:
            account = await find_account(transaction, "bu-01")
            await create_application(transaction, account, name, "tests", NOW)

    run("account", "create", "bu-01")
    run("key", "create", "bu-01")
    asyncio.run(add("shop"))
    run("key", "create", "bu-01")
    run("key", "create", "bu-01", "--application", "shop")
    refused = run("key", "create", "bu-01", "--application", "till", fails=1).stderr
    assert "bu-01 has no application 'till'; its applications are default, shop." in refused
    applications = [key["application_id"] for key in json.loads(run("key", "list", "bu-01", "--json").output)]
    assert len(set(applications)) == 2


def test_a_key_is_shown_under_one_id_which_revoke_takes_in_either_form(run: Run) -> None:
    run("account", "create", "bu-01")
    made = json.loads(run("key", "create", "bu-01", "--json").stdout)
    id_ = made["entry"]["id"]
    assert made["key"].startswith(f"{id_}_")
    assert "public_id" not in made["entry"]
    assert run("key", "list", "bu-01").stdout.split()[0] == "id"
    for form in (id_, id_.removeprefix("og_live_"), made["key"]):
        assert run("key", "revoke", form).stdout == f"{id_} is revoked.\n"
    (listed,) = json.loads(run("key", "list", "bu-01", "--json").stdout)
    assert listed["id"] == id_


def test_an_application_and_its_cost_centre_are_made_and_the_refusal_names_the_way(published: Run) -> None:
    run = published
    run("account", "create", "bu-01")
    refused = run("key", "create", "bu-01", "--application", "shop", fails=1).stderr
    assert "its applications are default. Make it with `ordergate application create bu-01 shop`" in refused
    refused = run("application", "create", "bu-01", "shop", "--cost-centre", "sales", fails=1).stderr
    assert "its cost centres are none. Make it with `ordergate cost-centre create bu-01 sales`" in refused
    centre = json.loads(run("cost-centre", "create", "bu-01", "sales", "--json").output)
    made = run("application", "create", "bu-01", "shop", "--cost-centre", "sales").output
    assert "ordergate key create bu-01 --application app_" in made
    assert run("key", "create", "bu-01", "--application", "shop").stdout.startswith("og_live_")
    listed = json.loads(run("application", "list", "bu-01", "--json").output)
    assert [(one["name"], one["cost_centre_id"]) for one in listed] == [
        ("default", None),
        ("shop", centre["id"]),
    ]
    assert "+08:00" in run("application", "list", "bu-01").output
    assert "sales" in run("cost-centre", "list", "bu-01").output
    again = run("application", "create", "bu-01", "shop", fails=1).stderr
    assert "choose another name" in again
    blank = run("cost-centre", "create", "bu-01", " sales", fails=1).stderr
    assert "NAME: write the name without blanks" in blank


def test_a_person_is_made_listed_given_a_new_link_and_signed_out(run: Run) -> None:
    run("account", "create", "bu-01")
    made = run("user", "create", "Li.Wei@example.com", "--role", "member", "--account", "bu-01")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/sign-in/[A-Za-z0-9_-]{43}\n", made.stdout)
    assert "li.wei@example.com (member): works once, within 24 hours" in made.stderr
    (person,) = json.loads(run("user", "list", "--json").stdout)
    assert (person["email"], person["role"], len(person["account_ids"])) == (
        "li.wei@example.com",
        "member",
        1,
    )
    assert "li.wei@example.com" in run("user", "list").stdout
    again = json.loads(run("user", "link", "li.wei@example.com", "--json").stdout)
    assert again["user"]["id"] == person["id"]
    assert again["link"] != made.stdout.strip()
    assert run("user", "sign-out", person["id"]).stdout == f"{person['id']}: 0 sessions ended.\n"
    assert (
        "is known already" in run("user", "create", "li.wei@EXAMPLE.com", "--role", "finance", fails=1).stderr
    )
    assert "name at least one" in run("user", "create", "a@b.c", "--role", "member", fails=1).stderr
    assert "There is nobody 'x'" in run("user", "link", "x", fails=1).stderr


def test_payments_are_switched_on_for_external_accounts_only(run: Run) -> None:
    run("account", "create", "d-01", "--kind", "external")
    run("account", "create", "bu-01")
    assert "due after 14 days" in run("payments", "collect", "d-01", "--days", "14").output
    assert "settled inside the group" in run("payments", "collect", "bu-01", fails=1).output
    assert "1 to 365 days" in run("payments", "collect", "d-01", "--days", "0", fails=1).output
    assert "nothing more is handed over" in run("payments", "stop", "d-01").output
    assert "Nothing waits" in run("payments", "list").output
    assert json.loads(run("payments", "list", "--all", "--json").output) == []
    assert "is not held" in run("payments", "release", "inv_live_x", fails=1).output
