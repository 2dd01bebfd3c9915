"""How many calls the journals hold, counted with the product's own reader."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from billing.journal import JournalReader, Record, journal_directories, read_digests
from catalog.usage_event import USAGE_EVENT_KIND, UsageEvent, decode_event
from catalog.vocabulary.ids import ENVIRONMENTS, Environment

_PAGE_BYTES = 4 * 1024 * 1024


def journaled_events(root: Path, until: Mapping[Path, int] | None = None) -> Iterator[UsageEvent]:
    """Every usage event of the segments that are kept, journal by journal in sequence; raises `JournalDamaged`.

    `until` has the last sequence number to read of each journal directory; one that it lacks is left out.
    """
    for directory in journal_directories(root):
        last = None if until is None else until.get(directory, 0)
        for record in _kept_records(directory, last):
            if record.kind == USAGE_EVENT_KIND:
                yield decode_event(record.payload)


def _kept_records(directory: Path, last: int | None) -> Iterator[Record]:
    reader = JournalReader(directory)
    try:
        digests = read_digests(directory)
        seq = digests[-1].last_seq if digests else 0
        while (last is None or seq < last) and (page := reader.read_after(seq, _PAGE_BYTES)).records:
            for record in page.records:
                if last is not None and record.seq > last:
                    return
                yield record
            seq = page.last_seq
    finally:
        reader.close()


def count_kept(root: Path, until: Mapping[Path, int] | None = None) -> Mapping[Environment, int]:
    """Usage events of the kept segments by environment, up to `until` as in `journaled_events`."""
    return Counter(event.environment for event in journaled_events(root, until))


def count_removed(root: Path) -> int:
    """Usage events of the segments that were shipped and removed: what their digests say."""
    return sum(
        digest.kinds.get(USAGE_EVENT_KIND, 0)
        for directory in journal_directories(root)
        for digest in read_digests(directory)
    )


def with_removed(
    kept: Mapping[Environment, int], removed: int, stored: Mapping[Environment, int]
) -> Mapping[Environment, int]:
    """Kept and removed events by environment.

    A digest counts without environments. Where what is stored beyond the kept events is exactly what was removed,
    it says how the removed ones divide; where it is not, all of them count as live and the books show the difference.
    """
    beyond = {name: stored.get(name, 0) - kept.get(name, 0) for name in ENVIRONMENTS}
    if sum(beyond.values()) != removed or min(beyond.values()) < 0:
        beyond = {"live": removed, "test": 0}
    return {name: kept.get(name, 0) + beyond[name] for name in ENVIRONMENTS}
