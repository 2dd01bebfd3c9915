"""The end of the audit log, kept outside of the database: what shows that entries were cut off it, or all of it was made anew.

The chain alone shows whatever is altered, removed or put in before its end. `up`, `doctor` and `backup` keep where it ended,
in the home and in the backup. What is cut off that was written after the last of these shows to nobody.
"""

import logging
import os

import msgspec

from catalog.registry import audit
from catalog.registry.audit import Head
from catalog.transaction import Transaction
from deploy.home import Home

log = logging.getLogger(__name__)


def kept_head(home: Home) -> Head | None:
    """What was kept last, None where nothing was. msgspec.DecodeError where it cannot be read."""
    try:
        return msgspec.json.decode(home.audit_head.read_bytes(), type=Head)
    except FileNotFoundError:
        return None


def keep_head(home: Home, head: Head) -> None:
    """Put it in place of what was kept before, whole or not at all."""
    home.audit_head.parent.mkdir(mode=0o700, exist_ok=True)
    new = home.audit_head.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(head))
        file.flush()
        os.fsync(file.fileno())
    new.replace(home.audit_head)


async def advance_head(transaction: Transaction, home: Home) -> None:
    """Keep where the log ends now, if it goes on from what was kept: a start does not read all of it, as `doctor` does.

    A log that does not go on is told to whoever watches the logs, and what was kept stays.
    """
    try:
        kept = kept_head(home)
    except msgspec.DecodeError:
        log.critical(
            "the end of the audit log that was kept cannot be read", extra={"path": str(home.audit_head)}
        )
        return
    if kept is not None and not await audit.goes_on_from(transaction, kept):
        log.critical(
            "the audit log does not go on from where it ended: run `ordergate doctor`",
            extra={"entries": kept.entries, "hash": kept.hash},
        )
        return
    keep_head(home, await audit.head(transaction))
