"""Environment -> one frozen Settings. Nothing else in billing reads the environment."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

DEFAULT_HOME = ".ordergate"
_DATABASE = "ordergate"
_ROLE = "ordergate_billing"


class InvalidSetting(ValueError):
    """A variable whose value cannot be used."""


class Settings(msgspec.Struct, frozen=True):
    """How the billing process runs. Each field names its variable; the intervals are fixed, in seconds."""

    home: Path
    """ORDERGATE_HOME: the state directory."""
    database_url: str | None
    """ORDERGATE_DATABASE_URL: a PostgreSQL server instead of the embedded one."""
    socket_dir: Path | None
    """ORDERGATE_SOCKET_DIR: set by `ordergate up`: where the embedded server listens."""
    journal_mirror: Path | None
    """ORDERGATE_JOURNAL_MIRROR: the directory on a second disk that has every journal as well."""
    ship_every_s: float = 0.1
    """Together with `roll_up_every_s` well below the 2 s within which usage can be read after its call."""
    roll_up_every_s: float = 0.5
    rate_every_s: float = 15.0
    """Each round adds a line to every total that moved; what is shown so far is rated when it is read."""
    upkeep_every_s: float = 3600.0
    """Partitions and pruning."""
    report_every_s: float = 60.0

    @property
    def journals(self) -> Path:
        """Where the journals of all workers are."""
        return self.home / "journals"

    def connect_arguments(self) -> Mapping[str, Any]:
        """Keyword arguments of `asyncpg.connect` as billing's role; on a foreign server by `SET ROLE`."""
        if self.database_url is not None:
            return {"dsn": self.database_url, "server_settings": {"role": _ROLE}}
        return {"host": str(self.socket_dir), "user": _ROLE, "database": _DATABASE, "server_settings": {}}


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process; `InvalidSetting` names the variable, the rule and the remedy."""
    source = os.environ if environment is None else environment

    def path(name: str) -> Path | None:
        value = source.get(name)
        return Path(value).absolute() if value else None

    settings = Settings(
        home=path("ORDERGATE_HOME") or Path(DEFAULT_HOME).absolute(),
        database_url=source.get("ORDERGATE_DATABASE_URL") or None,
        socket_dir=path("ORDERGATE_SOCKET_DIR"),
        journal_mirror=path("ORDERGATE_JOURNAL_MIRROR"),
    )
    if settings.database_url is None and settings.socket_dir is None:
        raise InvalidSetting(
            "ORDERGATE_DATABASE_URL is not set: start billing with `ordergate up`, or name a PostgreSQL server"
        )
    return settings
