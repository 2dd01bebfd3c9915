"""What happens before a journal is written again: examine, decide by the table, and only then act."""

from pathlib import Path
from uuid import UUID

import msgspec

from billing.journal.cases import Action, Finding, JournalDamaged
from billing.journal.disk import Disk
from billing.journal.mirror import compare, copy_segments
from billing.journal.survey import Survey, survey

_DEEP_SEGMENTS = 2
"""How many segments recovery reads through. Older ones had a successor twice over; `verify` reads them all."""


class Resume(msgspec.Struct, frozen=True):
    """Where writing goes on: always in a new segment. `trims` are earlier segments' paths and used lengths."""

    journal_id: UUID | None
    number: int
    next_seq: int
    chain: bytes
    trims: tuple[tuple[Path, int], ...]
    findings: tuple[Finding, ...]


def recover(disk: Disk, directory: Path, mirror: Path | None) -> Resume:
    """Examine a locked journal and its mirror; raises `JournalDamaged` unless the table says how to go on.

    Nothing is changed before the decision. What is changed then can be interrupted anywhere and done again.
    """
    found = survey(directory, disk, deep=_DEEP_SEGMENTS)
    copy: Survey | None = None
    findings = list(found.findings)
    if mirror is not None:
        found, copy, compared = _agree(disk, found, survey(mirror, disk, deep=_DEEP_SEGMENTS))
        findings += compared
    if found.damage is not None:
        raise JournalDamaged(found.damage)
    for examined in (found, copy):
        if examined is not None:
            for path in examined.temporaries:
                disk.unlink(path)
    tail = found.tail
    if found.last is None or tail is None:
        return Resume(None, 1, 1, b"", (), tuple(findings))
    trims = [(found.last.path, tail.end)]
    if copy is not None and copy.last is not None:
        trims.append((copy.last.path, tail.end))
    return Resume(
        found.last.header.journal_id,
        found.last.header.number + 1,
        tail.next_seq,
        tail.chain,
        tuple(trims),
        tuple(findings),
    )


def _agree(disk: Disk, primary: Survey, mirror: Survey) -> tuple[Survey, Survey, list[Finding]]:
    """Make journal and mirror equal by copying from the one that holds everything; halt where neither does."""
    verdict = compare(primary, mirror)
    if verdict is None:
        return primary, mirror, []
    if verdict.case.action is Action.HALT:
        raise JournalDamaged(verdict)
    to_mirror = verdict.case.name in ("mirror-shorter", "mirror-damaged")
    source, target = (primary, mirror) if to_mirror else (mirror, primary)
    copy_segments(disk, source, target)
    again = survey(target.directory, disk, deep=_DEEP_SEGMENTS)
    settled = (source, again) if to_mirror else (again, source)
    remaining = compare(*settled)
    if remaining is not None:
        raise JournalDamaged(remaining)
    return *settled, [verdict]
