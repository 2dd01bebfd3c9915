"""How far the demo has come in this installation: read from the audit log, which only grows."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec

from catalog.registry import audit
from catalog.transaction import Transaction

Event: TypeAlias = Literal["demo.open", "demo.bill", "demo.remove"]
_OBJECT = "installation/demo"


class State(msgspec.Struct, frozen=True):
    """When the group was opened, whether its history is billed, and whether it was removed for good."""

    opened_at: datetime | None
    billed: bool
    removed: bool


async def read_state(transaction: Transaction) -> State:
    """The state as of this transaction."""
    rows = await transaction.fetch(
        "SELECT action, at FROM catalog.audit WHERE object = $1 ORDER BY seq", _OBJECT
    )
    moments = {row["action"]: row["at"] for row in rows}
    return State(moments.get("demo.open"), "demo.bill" in moments, "demo.remove" in moments)


async def note(
    transaction: Transaction, event: Event, actor: str, detail: Mapping[str, Any], now: datetime
) -> None:
    """Write down that the demo came this far, in the transaction that takes it there."""
    await audit.append(transaction, actor, event, _OBJECT, detail, now)
