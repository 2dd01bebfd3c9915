"""How often calls were turned away or replayed: counted in memory, journaled every second, billed never."""

from asyncio import Future
from collections import Counter
from collections.abc import Mapping
from functools import partial
from itertools import islice
from typing import Protocol

from billing.journal import JournalUnavailable
from catalog.usage_event import REFUSALS_KIND, Refusal, encode_record
from catalog.vocabulary.clock import Clock, from_ns
from catalog.vocabulary.ids import Environment

# Keeps a record well below the journal's 64 KiB.
_BATCH_MAX = 200


_Key = tuple[str, Environment, str, str]


class Queue(Protocol):
    """A journal as this counter needs it."""

    def append(self, kind: int, payload: bytes) -> "Future[int]":
        """A future that is done when the record is on disk."""


class RefusalCounter:
    """Durable within a second, whatever the rate of refusals: each flush is a few small records."""

    def __init__(self, journal: Queue, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._counts: Counter[_Key] = Counter()

    def count(self, account_id: str, environment: Environment, operation: str, reason: str) -> None:
        """One call refused for `reason`, a problem's name, or `replayed`."""
        self._counts[account_id, environment, operation, reason] += 1

    def flush(self) -> None:
        """Hand what was counted since the last flush to the journal; what it cannot keep is counted again."""
        day = from_ns(self._clock.now_ns()).date().isoformat()
        while self._counts:
            taken = dict(islice(self._counts.items(), _BATCH_MAX))
            batch = [Refusal(*key[:3], day, key[3], calls) for key, calls in taken.items()]
            try:
                recorded = self._journal.append(REFUSALS_KIND, encode_record(batch))
            except JournalUnavailable:
                return
            for key in taken:
                del self._counts[key]
            recorded.add_done_callback(partial(self._count_again_if_lost, taken))

    def _count_again_if_lost(self, taken: Mapping[_Key, int], recorded: "Future[int]") -> None:
        if recorded.cancelled() or recorded.exception() is not None:
            self._counts.update(taken)
