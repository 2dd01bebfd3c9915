"""Which invoice a person means, and whether money can be for it."""

from billing.transaction import Connection
from catalog.vocabulary.problem import Problem


async def find_invoice(connection: Connection, document: str) -> str:
    """The id of a live, issued invoice, by its id or its number.

    `Problem` not-found without one; conflict for a draft, for a statement, which is settled inside the group, and for a
    document of the test environment, which nobody ever pays.
    """
    row = await connection.fetchrow(
        "SELECT id, kind, state, environment FROM billing.invoice WHERE id = $1 OR number = $1", document
    )
    if row is None:
        raise Problem(
            "not-found", f"There is no invoice {document}. `ordergate payments owed` lists what is open."
        )
    if row["environment"] == "test":
        raise Problem("conflict", f"{document} is of the test environment: it is never paid.")
    if row["kind"] != "invoice":
        raise Problem("conflict", f"{document} is a statement: it is settled inside the group.")
    if row["state"] != "issued":
        raise Problem("conflict", f"{document} is a draft: nothing is owed before it is issued.")
    found: str = row["id"]
    return found
