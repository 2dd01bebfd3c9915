"""Every table with an account, found in the database's own catalogue: a new one is tested without a word."""

# ruff: noqa: S608 - names of tables and columns come from the database's catalogue, values are parameters
import json
from typing import Any

import asyncpg
import msgspec

_TABLES = """
    SELECT c.oid::regclass::text AS name, a.attname AS account,
           (SELECT array_agg(attname ORDER BY attnum) FROM pg_attribute AS own
            WHERE own.attrelid = c.oid AND attnum > 0 AND NOT attisdropped
              AND attgenerated = '' AND attidentity <> 'a') AS columns
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND NOT a.attisdropped
     AND a.attname = CASE c.oid::regclass::text WHEN 'catalog.account' THEN 'id' ELSE 'account_id' END
    WHERE n.nspname IN ('catalog', 'gateway', 'billing', 'stock') AND c.relkind IN ('r', 'p', 'v', 'm')
    ORDER BY name
"""


class AccountTable(msgspec.Struct, frozen=True):
    """A table and the column that says whose a row is. `columns` are those that can be written."""

    name: str
    account: str
    columns: tuple[str, ...]

    async def rows(self, admin: asyncpg.Connection, account_id: str) -> list[dict[str, Any]]:
        """The account's rows as JSON, in a fixed order, without the marks that every transaction moves."""
        found = await admin.fetch(
            f"SELECT to_jsonb(t)::text AS row FROM {self.name} AS t WHERE {self.account} = $1 ORDER BY 1",
            account_id,
        )
        return [json.loads(row["row"]) for row in found]

    async def may(self, connection: asyncpg.Connection, privilege: str) -> bool:
        """Whether the connection's role may do that to the whole table."""
        return bool(await connection.fetchval("SELECT has_table_privilege($1, $2)", self.name, privilege))

    async def is_readable(self, connection: asyncpg.Connection) -> bool:
        """Whether the role may read the column that says whose a row is."""
        return bool(
            await connection.fetchval(
                "SELECT has_column_privilege($1, $2, 'SELECT')", self.name, self.account
            )
        )

    async def updatable(self, connection: asyncpg.Connection) -> list[str]:
        """The columns that the role may change."""
        rows = await connection.fetch(
            "SELECT name FROM unnest($2::text[]) AS name WHERE has_column_privilege($1, name, 'UPDATE')",
            self.name,
            list(self.columns),
        )
        return [row["name"] for row in rows]

    async def count(self, connection: asyncpg.Connection, account_id: str | None = None) -> int:
        """How many rows the connection sees, of all or of one account."""
        own = f"count(*) FILTER (WHERE {self.account} = $1 OR $1 IS NULL)"
        found: int = await connection.fetchval(
            f"SELECT {own} FROM (SELECT {self.account} FROM {self.name}) AS t", account_id
        )
        return found

    async def insert_copy(self, connection: asyncpg.Connection, row: dict[str, Any]) -> str:
        """Insert a row that was read as JSON."""
        columns = ", ".join(self.columns)
        return await connection.execute(
            f"INSERT INTO {self.name} ({columns}) SELECT {columns} FROM jsonb_populate_record(NULL::{self.name}, $1)",
            json.dumps(row),
        )

    async def update(self, connection: asyncpg.Connection, column: str, account_id: str) -> str:
        """Set a column of the account's rows to what it is."""
        return await connection.execute(
            f"UPDATE {self.name} SET {column} = {column} WHERE {self.account} = $1", account_id
        )

    async def delete(self, connection: asyncpg.Connection, account_id: str) -> str:
        """Delete the account's rows."""
        return await connection.execute(f"DELETE FROM {self.name} WHERE {self.account} = $1", account_id)


async def account_tables(admin: asyncpg.Connection) -> list[AccountTable]:
    """All of them, partitions included."""
    return [
        AccountTable(row["name"], row["account"], tuple(row["columns"])) for row in await admin.fetch(_TABLES)
    ]
