"""How often calls were turned away or replayed: counted in memory, journaled every second, billed never."""

from collections import Counter
from typing import Protocol

from billing.journal import JournalUnavailable
from catalog.usage_event import REFUSALS_KIND, Refusal, encode_record
from catalog.vocabulary.clock import Clock, from_ns
from catalog.vocabulary.ids import Environment

# An attacker with one valid key must not be able to grow the count by inventing paths.
UNKNOWN_OPERATION = "-"
# Keeps a record well below the journal's 64 KiB.
_BATCH_MAX = 200


class Queue(Protocol):
    """A journal as this counter needs it."""

    def append_nowait(self, kind: int, payload: bytes) -> None:
        """Queue a record; nobody waits for it."""


class RefusalCounter:
    """Durable within a second, whatever the rate of refusals: each flush is a few small records."""

    def __init__(self, journal: Queue, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._counts: Counter[tuple[str, Environment, str, str]] = Counter()

    def count(self, account_id: str, environment: Environment, operation: str, reason: str) -> None:
        """One call refused for `reason`, a problem's name, or `replayed`."""
        self._counts[account_id, environment, operation, reason] += 1

    def flush(self) -> None:
        """Hand what was counted since the last flush to the journal."""
        if not self._counts:
            return
        day = from_ns(self._clock.now_ns()).date().isoformat()
        counted = list(self._counts.items())[:_BATCH_MAX]
        batch = [Refusal(account, env, operation, day, reason, calls)
                 for (account, env, operation, reason), calls in counted]  # fmt: skip
        try:
            self._journal.append_nowait(REFUSALS_KIND, encode_record(batch))
        except JournalUnavailable:
            return  # what was counted stays counted and goes with a later flush
        for key, _ in counted:
            del self._counts[key]
