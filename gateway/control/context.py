"""What the control plane's controllers are given."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from prometheus_client import CollectorRegistry

from billing.inbox import StripeInbox
from billing.journal import Journal
from catalog.vocabulary.clock import Clock
from gateway.authenticate import Authenticator
from gateway.stores.directory import DirectoryStore


class ControlContext(msgspec.Struct, frozen=True):
    """The parts of a worker that the control plane uses.

    `reader` are asyncpg's arguments of the reading role; `pool` connects as the gateway's role; new keys are hashed
    under the newest of `peppers`.
    """

    clock: Clock
    directory: DirectoryStore
    authenticate: Authenticator
    pool: asyncpg.Pool
    reader: Mapping[str, Any]
    journal: Journal
    metrics_registry: CollectorRegistry
    metrics_dir: Path | None
    metrics_token: str | None
    peppers: Mapping[int, bytes]
    inbox: StripeInbox | None = None
