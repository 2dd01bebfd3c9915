"""Environment -> one frozen Settings for the commands. Nothing else in deploy reads what the operator has set."""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from catalog.vocabulary.settings import DEFAULT_HOME, LOOPBACK, InvalidSetting
from deploy.home import Home
from deploy.listening import listening_address


class Settings(msgspec.Struct, frozen=True):
    """Where commands find the installation. Each field names its variable."""

    home_path: Path
    """ORDERGATE_HOME: the state directory."""
    database_url: str | None
    """ORDERGATE_DATABASE_URL: a PostgreSQL server instead of the embedded one."""
    key: str | None
    """ORDERGATE_KEY: the API key of `ordergate call`."""
    review_required: bool
    """ORDERGATE_REVIEW: `required` makes `ordergate publish` submit for review; another person then approves."""
    host: str = LOOPBACK
    """ORDERGATE_HOST: the IPv4 address of this machine that `ordergate up` serves, as its `--host` does: 127.0.0.1 for this machine alone, 0.0.0.0 for all of its addresses. Beyond loopback a proxy that ends TLS stands in front (deploy/runbooks/deployment.md)."""
    demo: bool = True
    """ORDERGATE_DEMO: `off` opens no demo group on a first start, as `ordergate up --no-demo` does."""

    @property
    def home(self) -> Home:
        """The state directory."""
        return Home(self.home_path)


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process; empty variables count as unset. `InvalidSetting` names variable and remedy."""
    source = os.environ if environment is None else environment
    review = source.get("ORDERGATE_REVIEW") or None
    if review not in (None, "required"):
        raise InvalidSetting(f"ORDERGATE_REVIEW={review!r}: write `required`, or leave it unset")
    demo = source.get("ORDERGATE_DEMO") or "on"
    if demo not in ("on", "off"):
        raise InvalidSetting(f"ORDERGATE_DEMO={demo!r}: write `off`, or leave it unset")
    return Settings(
        home_path=Path(source.get("ORDERGATE_HOME") or DEFAULT_HOME).absolute(),
        database_url=source.get("ORDERGATE_DATABASE_URL") or None,
        key=source.get("ORDERGATE_KEY") or None,
        review_required=review is not None,
        host=listening_address("ORDERGATE_HOST", source.get("ORDERGATE_HOST") or LOOPBACK),
        demo=demo == "on",
    )
