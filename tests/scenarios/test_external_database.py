"""A PostgreSQL server of one's own: everything the product does works over TCP, with a password, without a superuser."""

import asyncio
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import asyncpg
import pytest
from click.testing import CliRunner, Result

from deploy.cli import main
from deploy.database import Database
from deploy.migrate import migrate
from deploy.roles import BILLING, GATEWAY, OWNER, READER
from tests.external_server import PASSWORD, ExternalServer
from tests.faults.product import Product

SERVICES = Path(__file__).parents[2] / "atomic_services"
BERLIN = {"country": "DE", "postal_code": "10115", "locality": "Berlin", "lines": ["Invalidenstr. 116"]}
AGREED = "served=3 metered=3 stored=3 rated=3 posted=3 invoiced=3 diff=0 money_diff=0"


@pytest.fixture(scope="module")
def server() -> Iterator[ExternalServer]:
    server = ExternalServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ordergate-external-") as name:
        yield Path(name)


def run(environment: Mapping[str, str | None], *arguments: str, fails: int = 0) -> Result:
    result = CliRunner().invoke(main, arguments, env={"ORDERGATE_KEY": None, **environment})
    assert result.exit_code == fails, result.output
    assert PASSWORD not in result.output
    return result


def last_line(result: Result) -> str:
    return result.stdout.splitlines()[-1]


def test_calls_books_and_backups_work_on_a_server_of_ones_own(server: ExternalServer, folder: Path) -> None:
    product = Product(folder, 1, {"ORDERGATE_DATABASE_URL": server.url("orders")})
    here = {"ORDERGATE_HOME": str(product.home.path), "ORDERGATE_DATABASE_URL": server.url("orders")}
    asyncio.run(migrate(Database(url=server.url("orders"))))
    run(here, "publish", str(SERVICES))
    run(here, "account", "create", "bu-01")
    key = run(here, "key", "create", "bu-01").stdout.strip()
    try:
        product.start()
        level = {"sku": "A-1", "warehouse": "SHA", "quantity": 10, "reason": "first count"}
        hold = {"reservation_id": "r-1", "ttl_s": 600, "lines": [{"sku": "A-1", "quantity": 3}]}
        assert product.call(key, "address/validate", BERLIN)[0] == 200
        assert product.call(key, "stock/adjust", level, "one")[1]["available"] == 10
        assert product.call(key, "stock/reserve", hold, "two")[1]["state"] == "reserved"
        assert "set ORDERGATE_DATABASE_URL as it was set" in (
            run({**here, "ORDERGATE_DATABASE_URL": None}, "services", fails=1).stderr
        )
        assert last_line(run(here, "reconcile")) == AGREED
        run(here, "doctor")
        greedy = {**here, "ORDERGATE_DATABASE_CONNECTIONS": "40"}
        assert "WRONG connections: 1 workers and what runs beside them use 70 at most" in (
            run(greedy, "doctor", fails=1).output
        )
        run(here, "backup", str(folder / "backup"))
    finally:
        product.end()
    pepper = product.home.secrets / "pepper.json"
    right = pepper.read_bytes()
    pepper.write_text(json.dumps({"1": "00" * 32}))
    assert product.spawn_and_wait() == 1
    for said in (
        product.said(),
        run(here, "doctor", fails=1).output,
        run(here, "key", "create", "bu-01", fails=1).stderr,
    ):
        assert "pepper.json holds another pepper than the one of 1 keys of the database" in said
    pepper.write_bytes(right)
    assert json.loads(run(here, "usage", "bu-01", "--json").output)["calls"] == 3
    assert last_line(run(here, "rebuild", "--verify")) == "equal"

    there = {"ORDERGATE_HOME": str(folder / "again"), "ORDERGATE_DATABASE_URL": server.url("restored")}
    run(there, "restore", str(folder / "backup"))
    assert last_line(run(there, "reconcile")) == AGREED
    elsewhere = {**there, "ORDERGATE_HOME": str(folder / "third")}
    assert (
        "holds an installation already" in run(elsewhere, "restore", str(folder / "backup"), fails=1).stderr
    )


def test_a_backup_of_one_server_stands_up_in_the_embedded_one(server: ExternalServer, folder: Path) -> None:
    asyncio.run(server.create("moving"))
    here = {"ORDERGATE_HOME": str(folder / "home"), "ORDERGATE_DATABASE_URL": server.url("moving")}
    asyncio.run(migrate(Database(url=server.url("moving"))))
    run(here, "publish", str(SERVICES / "bench"))
    run(here, "account", "create", "bu-01", "--subscribe", "bench=bench")
    # Another folder beside the same database is not the installation: its keys would never work, its backup never stand up.
    astray = {**here, "ORDERGATE_HOME": str(folder / "astray")}
    run(here, "key", "create", "bu-01")
    lost = "no pepper for 1 keys of the database: they were made with another ORDERGATE_HOME"
    assert lost in run(astray, "key", "create", "bu-01", fails=1).stderr
    assert "has no secrets" in run(astray, "backup", str(folder / "backup"), fails=1).stderr
    assert lost in run(astray, "doctor", fails=1).output
    stranger = Product(folder, 1, {**astray})
    assert stranger.spawn_and_wait() == 1
    assert lost in stranger.said()
    assert not (folder / "astray" / "secrets" / "pepper.json").exists(), "no second pepper is made"
    run(here, "backup", str(folder / "backup"))
    folder.chmod(0o711)
    moved = {"ORDERGATE_HOME": str(folder / "embedded"), "ORDERGATE_DATABASE_URL": None}
    run(moved, "restore", str(folder / "backup"))
    assert [one["service"] for one in json.loads(run(moved, "services", "--json").output)] == ["bench"]


async def test_its_user_becomes_the_roles_of_the_product_and_gets_no_more_than_they_have(
    server: ExternalServer,
) -> None:
    await server.create("roles")
    database = Database(url=server.url("roles"))
    await migrate(database)
    await migrate(database)
    for role in (OWNER, GATEWAY, BILLING, READER):
        connection = await asyncpg.connect(**database.as_role(role))
        try:
            assert await connection.fetchval("SELECT current_user") == role
            assert await connection.fetchval("SELECT count(*) FROM catalog.passport") == 0
        finally:
            await connection.close()
    gateway = await asyncpg.connect(**database.as_role(GATEWAY))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await gateway.execute("DELETE FROM billing.posting")
    finally:
        await gateway.close()


def test_an_address_that_does_not_answer_is_said_without_its_password(folder: Path) -> None:
    nobody = {
        "ORDERGATE_HOME": str(folder),
        "ORDERGATE_DATABASE_URL": "postgresql://shop:hush@127.0.0.1:1/orders",
    }
    refused = run(nobody, "services", fails=1)
    assert "Start that server, or correct the variable" in refused.stderr
    assert "hush" not in refused.output
    assert "WRONG database" in run(nobody, "doctor", fails=1).output
