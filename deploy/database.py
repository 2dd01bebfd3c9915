"""Where the database is and how each role connects to it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from catalog.database import NAME, role_arguments


class Database(msgspec.Struct, frozen=True):
    """Either the embedded server's socket folder, or the address in ORDERGATE_DATABASE_URL.

    Both methods answer keyword arguments of `asyncpg.connect`.
    """

    url: str | None = None
    socket_dir: Path | None = None
    name: str = NAME

    def admin(self) -> dict[str, Any]:
        """The connection that may create roles."""
        if self.url is not None:
            return {"dsn": self.url}
        return {"host": str(self.socket_dir), "user": "postgres", "database": self.name}

    def as_role(self, role: str, settings: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The connection of one of the product's roles: its own log-in here, `SET ROLE` on a foreign server."""
        return role_arguments(
            role, url=self.url, socket_dir=self.socket_dir, name=self.name, settings=settings
        )
