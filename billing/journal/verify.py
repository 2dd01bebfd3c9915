"""The read-only check of a whole journal directory: every byte, every case, counted."""

from collections import Counter
from pathlib import Path
from uuid import UUID

import msgspec

from billing.journal.cases import Action, Finding
from billing.journal.digests import read_digests
from billing.journal.disk import SystemDisk
from billing.journal.survey import survey


class Report(msgspec.Struct, frozen=True):
    """What `verify` found. `kinds` and `records` count what is in the segments, `pruned` what digests say was there."""

    directory: Path
    journal_id: UUID | None
    segments: int
    batches: int
    records: int
    kinds: dict[int, int]
    pruned: int
    last_seq: int
    chain: str
    cases: dict[str, int]
    findings: list[Finding]

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found that halts recovery."""
        return not any(finding.case.action is Action.HALT for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """0 if sound, 1 if a person has to look."""
        return 0 if self.is_sound else 1


def verify(directory: Path) -> Report:
    """Check a journal that may be in use; changes nothing. Raises OSError where it cannot be read.

    In a journal that is being written the batch under way may show as a torn tail, which is sound.
    """
    found = survey(directory, SystemDisk(), deep=None)
    digests = read_digests(directory)
    kinds: Counter[int] = Counter()
    for scan in found.scans.values():
        kinds.update(scan.kinds)
    tail = found.tail
    return Report(
        directory=directory,
        journal_id=found.journal_id,
        segments=len(found.segments),
        batches=sum(scan.batches for scan in found.scans.values()),
        records=kinds.total(),
        kinds=dict(sorted(kinds.items())),
        pruned=sum(sum(digest.kinds.values()) for digest in digests),
        last_seq=tail.next_seq - 1 if tail else 0,
        chain=tail.chain.hex() if tail else "",
        cases=dict(Counter(finding.case.name for finding in found.findings)),
        findings=found.findings,
    )
