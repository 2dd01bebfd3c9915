"""Journal and mirror: whether they agree, and bringing the shorter copy to the longer one's state.

A batch is acknowledged when both copies are durable, so a whole copy that reaches further holds all of the other.
"""

import os
from pathlib import Path

from billing.journal.cases import Finding
from billing.journal.digests import append_digests, read_digests
from billing.journal.directory import sync_directory
from billing.journal.disk import Disk, write_fully
from billing.journal.survey import Segment, Survey, read_segment

_COPY_SUFFIX = ".copy.tmp"
_QUARANTINE_PREFIX = "quarantined-"


def compare(primary: Survey, mirror: Survey) -> Finding | None:
    """The mirror row of the recovery table that applies, None where both hold the same."""
    p, m = primary.damage, mirror.damage
    if p is not None and m is not None:
        return p
    if p is not None:
        return _finding("primary-damaged", primary, p) if _holds(mirror, primary) else p
    if m is not None:
        return _finding("mirror-damaged", mirror, m) if _holds(primary, mirror) else m
    if _reach(primary) == _reach(mirror) and _holds(primary, mirror):
        return None
    if _reach(primary) >= _reach(mirror) and _holds(primary, mirror):
        return _finding("mirror-shorter", mirror)
    if _reach(mirror) >= _reach(primary) and _holds(mirror, primary):
        return _finding("mirror-longer", primary)
    return _finding("mirror-diverged", mirror)


def copy_segments(disk: Disk, source: Survey, target: Survey) -> None:
    """Copy what the target lacks or has otherwise, segment by segment, each replaced whole by a rename.

    A damaged file is kept beside it under a quarantine name, for the person who looks into it.
    """
    for number, segment in source.segments.items():
        present = target.segments.get(number)
        scanned = target.scans.get(number)
        ends_here = scanned is not None and scanned is target.tail
        if (
            present is None
            or present.header != segment.header
            or ends_here
            or _halts(target, segment.path.name)
        ):
            _replace(disk, segment, target)
    known = {digest.segment for digest in read_digests(target.directory)}
    lacking = [digest for digest in read_digests(source.directory) if digest.segment not in known]
    if lacking:
        append_digests(disk, target.directory, lacking)
    sync_directory(disk, target.directory)


def _replace(disk: Disk, segment: Segment, target: Survey) -> None:
    final = target.directory / segment.path.name
    temporary = target.directory / (segment.path.name + _COPY_SUFFIX)
    fd = disk.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        write_fully(disk, fd, [read_segment(disk, segment.path)], 0)
        disk.fsync(fd)
    finally:
        disk.close(fd)
    if _halts(target, final.name) and final.exists():
        disk.rename(final, target.directory / (_QUARANTINE_PREFIX + final.name))
    disk.rename(temporary, final)


def _halts(survey: Survey, name: str) -> bool:
    return any(finding.file.name == name and finding.case.action == "halt" for finding in survey.findings)


def _reach(survey: Survey) -> tuple[int, int]:
    tail = survey.tail
    return (tail.next_seq if tail else 1, survey.last.header.number if survey.last else 0)


def _holds(longer: Survey, shorter: Survey) -> bool:
    """Whether a copy contains everything that verifies in the other one."""
    tail, other = longer.tail, shorter.tail
    if other is None:
        return tail is not None or not shorter.segments
    if tail is None or longer.journal_id not in (shorter.journal_id, None):
        return False
    for number, segment in shorter.segments.items():
        counterpart = longer.segments.get(number)
        if counterpart is not None and counterpart.header != segment.header:
            return False
    seen = max(scan.seen_seq for scan in shorter.scans.values())
    return tail.next_seq > seen and longer.chain_at(other.next_seq - 1) == other.chain


def _finding(case: str, survey: Survey, cause: Finding | None = None) -> Finding:
    place: Path = survey.last.path if survey.last else survey.directory
    detail = str(cause) if cause else f"ends with record {_reach(survey)[0] - 1}"
    return Finding.of(case, place, survey.tail.end if survey.tail else 0, detail)
