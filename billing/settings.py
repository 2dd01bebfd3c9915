"""Environment -> one frozen Settings; secrets from 0600 files. Nothing else in billing reads either."""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from catalog.database import role_arguments
from catalog.vocabulary.settings import DEFAULT_HOME, InvalidSetting

STRIPE_API = "https://api.stripe.com"
_ROLE = "ordergate_billing"
_PROBE_URL = re.compile(r"http://[A-Za-z0-9.-]+(:[0-9]{1,5})?")


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
    probe_url: str | None = None
    """ORDERGATE_PROBE_URL: where the outside probe calls the gateway; `ordergate up` names its own address."""
    ship_every_s: float = 0.1
    """Together with `roll_up_every_s` well below the 2 s within which usage can be read after its call."""
    roll_up_every_s: float = 0.5
    settle_leases_every_s: float = 0.5
    """How soon what a dead worker held can be had by the others, once its journal is shipped."""
    rate_every_s: float = 15.0
    """Each round adds a line to every total that moved; what is shown so far is rated when it is read."""
    upkeep_every_s: float = 3600.0
    """Partitions and pruning, what expires, and reminders of what is overdue."""
    service_level_every_s: float = 60.0
    """Figures of the service level, and its alarms."""
    report_every_s: float = 60.0

    @property
    def probe_minutes(self) -> Path:
        """What the outside probe found and the database does not have yet."""
        return self.home / "probe.jsonl"

    @property
    def journals(self) -> Path:
        """Where the journals of all workers are."""
        return self.home / "journals"

    def connect_arguments(self) -> Mapping[str, Any]:
        """Keyword arguments of `asyncpg.connect` as billing's role; on a foreign server by `SET ROLE`."""
        return role_arguments(_ROLE, url=self.database_url, socket_dir=self.socket_dir)


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
        probe_url=source.get("ORDERGATE_PROBE_URL") or None,
    )
    if settings.probe_url is not None and not _PROBE_URL.fullmatch(settings.probe_url):
        raise InvalidSetting(
            "ORDERGATE_PROBE_URL is not an address: write http://host:port, as in http://127.0.0.1:8080"
        )
    if settings.database_url is None and settings.socket_dir is None:
        raise InvalidSetting(
            "ORDERGATE_DATABASE_URL is not set: start billing with `ordergate up`, or name a PostgreSQL server"
        )
    return settings


def is_live_key(api_key: str) -> bool:
    """Whether real money moves with a key of Stripe's."""
    return api_key.startswith(("sk_live_", "rk_live_"))


class StripeSecrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`secrets/stripe.json`: what Stripe is reached and recognised with. Without the file nothing is collected.

    `webhook_secret` is that of the endpoint `/api/webhooks/stripe`; `api_base` another server of the same protocol. `trial`:
    the installation is for trying out, and all that it collects is Stripe's play money.
    """

    api_key: str
    webhook_secret: str
    api_base: str = STRIPE_API
    trial: bool = False

    @property
    def is_live(self) -> bool:
        """Whether the key moves real money."""
        return is_live_key(self.api_key)

    @property
    def mismatch(self) -> str:
        """Why nothing is collected with this key, as a sentence; empty where it is of the mode that the installation is for."""
        if self.is_live and self.trial:
            return 'the key is a live key, and the installation is for trying out: remove "trial" or use a test key'
        if not self.is_live and not self.trial:
            return 'the key is a test key: use a live key, or, for trying out, add "trial": true'
        return ""

    def __repr__(self) -> str:
        """Without either secret, wherever it is printed."""
        return f"StripeSecrets(api_base={self.api_base!r})"


# Plain HTTP carries the key for everybody to read, except to this machine itself.
_API_BASE = re.compile(r"https://[^/@\s]+|http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?")


def stripe_secrets(home: Path) -> StripeSecrets | None:
    """The secrets under a state directory, or None without the file.

    `InvalidSetting` for a file that others may read, or whose content cannot be used; it never tells the content.
    """
    path = home / "secrets" / "stripe.json"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise InvalidSetting(f"{path} can be read by others: chmod 600 {path}")
    try:
        secrets = msgspec.json.decode(content, type=StripeSecrets)
    except msgspec.DecodeError as error:
        raise InvalidSetting(f"{path}: {error}; it holds api_key and webhook_secret") from None
    if not secrets.api_key.startswith(("sk_", "rk_")) or not secrets.webhook_secret.startswith("whsec_"):
        raise InvalidSetting(f"{path}: api_key begins with sk_ or rk_, webhook_secret with whsec_")
    if not _API_BASE.fullmatch(secrets.api_base):
        raise InvalidSetting(f"{path}: api_base is https://host, or http:// on this machine")
    return secrets
