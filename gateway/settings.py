"""Environment -> one frozen Settings. Nothing else in the gateway reads the environment."""

import os
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

import msgspec

from catalog.vocabulary.settings import DEFAULT_HOME, LOOPBACK, InvalidSetting


class Settings(msgspec.Struct, frozen=True):
    """How this worker runs. Each field names its variable; deploy/configuration.md is generated from this table."""

    home: Path
    """ORDERGATE_HOME: the state directory."""
    database_url: str | None
    """ORDERGATE_DATABASE_URL: a PostgreSQL server instead of the embedded one."""
    socket_dir: Path | None
    """ORDERGATE_SOCKET_DIR: set by `ordergate up`: where the embedded server listens."""
    auth_stale_max_s: int
    """ORDERGATE_AUTH_STALE_MAX_S: how long keys are trusted while PostgreSQL is away, in seconds."""
    journal_mirror: Path | None
    """ORDERGATE_JOURNAL_MIRROR: a directory on a second disk that receives every journal batch as well."""
    database_connections: int
    """ORDERGATE_DATABASE_CONNECTIONS: connections of one worker for calls with an effect."""
    otlp_endpoint: str | None
    """OTEL_EXPORTER_OTLP_ENDPOINT: where spans are sent; without it none are made. The exporter reads its other OTEL_EXPORTER_OTLP_ variables itself."""
    metrics_token: str | None
    """ORDERGATE_METRICS_TOKEN: /metrics needs this bearer token; without one it answers to loopback only."""
    metrics_dir: Path | None
    """PROMETHEUS_MULTIPROC_DIR: set by `ordergate up`: where workers keep figures that are added up."""
    trusted_proxies: str = LOOPBACK
    """FORWARDED_ALLOW_IPS: addresses or networks, with commas between, of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed."""

    @property
    def journals(self) -> Path:
        """Where the journals of all workers are."""
        return self.home / "journals"

    @property
    def run(self) -> Path:
        """What lives as long as the running installation."""
        return self.home / "run"


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process; `InvalidSetting` names the variable, the rule and the remedy."""
    source = os.environ if environment is None else environment

    def text(name: str) -> str | None:
        return source.get(name) or None

    def path(name: str) -> Path | None:
        value = text(name)
        return None if value is None else Path(value).absolute()

    def number(name: str, default: int, low: int, high: int) -> int:
        value = text(name)
        if value is None:
            return default
        if not value.isascii() or not value.isdigit() or not low <= int(value) <= high:
            raise InvalidSetting(f"{name}={value!r}: give a whole number from {low} to {high}")
        return int(value)

    def networks(name: str, default: str) -> str:
        value = text(name) or default
        for part in value.split(","):
            try:
                ip_network(part.strip())
            except ValueError:
                raise InvalidSetting(
                    f"{name}={value!r}: give addresses or networks with commas between, such as 10.0.0.7,10.1.0.0/16"
                ) from None
        return value

    return Settings(
        home=path("ORDERGATE_HOME") or Path(DEFAULT_HOME).absolute(),
        database_url=text("ORDERGATE_DATABASE_URL"),
        socket_dir=path("ORDERGATE_SOCKET_DIR"),
        auth_stale_max_s=number("ORDERGATE_AUTH_STALE_MAX_S", 300, 1, 86_400),
        journal_mirror=path("ORDERGATE_JOURNAL_MIRROR"),
        database_connections=number("ORDERGATE_DATABASE_CONNECTIONS", 8, 1, 100),
        otlp_endpoint=text("OTEL_EXPORTER_OTLP_ENDPOINT"),
        metrics_token=text("ORDERGATE_METRICS_TOKEN"),
        metrics_dir=path("PROMETHEUS_MULTIPROC_DIR"),
        trusted_proxies=networks("FORWARDED_ALLOW_IPS", LOOPBACK),
    )
