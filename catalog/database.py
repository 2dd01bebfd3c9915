"""How each role of the product connects to PostgreSQL: written once for every process and command."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "ordergate"
"""The embedded server's database."""


def role_arguments(
    role: str,
    *,
    url: str | None,
    socket_dir: Path | None,
    name: str = NAME,
    settings: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Keyword arguments of `asyncpg.connect` for a role, with server `settings` of the session.

    The embedded server, in `socket_dir`, knows a log-in of each role; on a server at `url` the one user that the
    address names takes the role by `SET ROLE`.
    """
    if url is not None:
        return {"dsn": url, "server_settings": {"role": role, **(settings or {})}}
    assert socket_dir is not None, "there is an address or a socket folder"
    return {"host": str(socket_dir), "user": role, "database": name, "server_settings": dict(settings or {})}
