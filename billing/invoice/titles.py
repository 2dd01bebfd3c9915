"""What documents call services, applications and cost centres: their present names; ids never change."""

from collections.abc import Mapping

import msgspec

from billing.transaction import Connection


async def service_titles(connection: Connection) -> Mapping[str, Mapping[str, str]]:
    """What the services are called now, by service and language."""
    rows = await connection.fetch(
        "SELECT DISTINCT ON (service) service, document->'name' AS name FROM catalog.passport "
        "ORDER BY service, revision DESC"
    )
    return {row["service"]: msgspec.json.decode(row["name"]) for row in rows}


async def names_of(connection: Connection, account_id: str) -> Mapping[str, str]:
    """The present names of an account's applications and cost centres, by id."""
    rows = await connection.fetch(
        "SELECT id, name FROM catalog.application WHERE account_id = $1 UNION ALL "
        "SELECT id, name FROM catalog.cost_centre WHERE account_id = $1",
        account_id,
    )
    return {row["id"]: row["name"] for row in rows}
