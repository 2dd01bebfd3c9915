"""The recovery table: everything a journal's disk can look like, and the one thing to do about each.

Order of the rows is the order in which a person would ask. A row that halts is never resolved by guessing: the
writer refuses to start and `JournalDamaged` names the row, the place and the remedy.
"""

from enum import StrEnum
from pathlib import Path

import msgspec


class Action(StrEnum):
    """What recovery does when it meets a case."""

    CONTINUE = "continue"
    DISCARD = "discard"
    REPAIR = "repair"
    HALT = "halt"


class Case(msgspec.Struct, frozen=True):
    """A row: its name, what it means, what is done, and what a person should do where recovery halts."""

    name: str
    meaning: str
    action: Action
    remedy: str = ""


_RESTORE = "Restore this segment from the mirror or from a backup; then start again."
_INSPECT = (
    "Keep a copy of the directory, run `ordergate journal verify` on it, and compare with the database."
)

RECOVERY: tuple[Case, ...] = (
    # Nothing is wrong.
    Case("empty-directory", "no segment was ever written", Action.CONTINUE),
    Case("clean-end", "after the last batch there are only zeros", Action.CONTINUE),
    # A crash or a power cut interrupted what nobody was told was done.
    Case("prepared-segment", "a segment is prepared and not in use yet, as one is while calls are recorded", Action.DISCARD),
    Case("torn-record-header", "the last batch stops inside a record header", Action.DISCARD),
    Case("torn-payload", "the last batch stops inside a payload", Action.DISCARD),
    Case("trailer-missing", "the last batch stops before its trailer", Action.DISCARD),
    Case("torn-trailer", "the last batch stops inside its trailer", Action.DISCARD),
    Case("lost-sectors", "whole sectors of the last batch never reached the disk", Action.DISCARD),
    # Records before the durable watermark: acknowledged data is damaged.
    Case("record-header-damaged", "a record header before the durable watermark is wrong", Action.HALT, _RESTORE),
    Case("payload-damaged", "a payload before the durable watermark is wrong", Action.HALT, _RESTORE),
    Case("trailer-damaged", "a batch trailer before the durable watermark is wrong", Action.HALT, _RESTORE),
    Case("padding-damaged", "bytes between two batches are not zero", Action.HALT, _RESTORE),
    # The last batch: perhaps acknowledged, and no crash leaves it like this.
    Case("last-record-header-damaged", "a record header of the last batch is wrong, all is written", Action.HALT, _RESTORE),
    Case("last-payload-damaged", "a payload of the last batch is wrong, all is written", Action.HALT, _RESTORE),
    Case("last-trailer-damaged", "the trailer of the last batch is wrong, all is written", Action.HALT, _RESTORE),
    Case("stray-bytes", "bytes after the last batch are neither zero nor a batch", Action.HALT, _RESTORE),
    # Checksums are right and the content is not: software or a person, not a disk.
    Case("sequence-gap", "a record's number is higher than the next one", Action.HALT, _INSPECT),
    Case("sequence-repeat", "a record's number was used before", Action.HALT, _INSPECT),
    Case("trailer-mismatch", "a trailer does not describe the records before it", Action.HALT, _INSPECT),
    Case("chain-mismatch", "the hash chain is broken", Action.HALT, _INSPECT),
    # Files.
    Case("blank-segment", "a segment has its name but no content", Action.HALT, _RESTORE),
    Case("segment-header-damaged", "a segment's header is wrong", Action.HALT, _RESTORE),
    Case("segment-shortened", "the last segment is shorter than it was made", Action.HALT, _RESTORE),
    Case("future-version", "a newer program wrote this segment", Action.HALT, "Start the newer version again."),
    Case("foreign-journal", "a segment belongs to another journal", Action.HALT, "Move it back to its own directory."),
    Case("segment-misnamed", "a segment's name and number differ", Action.HALT, "Give it the name of its number."),
    Case("segment-missing", "a segment between two others is not there", Action.HALT, _RESTORE),
    Case("epoch-repeated", "two segments carry the same epoch: one is a copy", Action.HALT, "Remove the copy."),
    Case("segment-ends-early", "the next segment proves that records are missing here", Action.HALT, _RESTORE),
    Case("segments-overlap", "the next segment begins before this one ends", Action.HALT, _INSPECT),
    # Mirror: both copies were durable before anything was acknowledged, so the longer one holds everything.
    Case("mirror-shorter", "the mirror lacks the end of the journal", Action.REPAIR),
    Case("mirror-longer", "the journal lacks an end that the mirror has", Action.REPAIR),
    Case("mirror-damaged", "the mirror is damaged, the journal is whole", Action.REPAIR),
    Case("primary-damaged", "the journal is damaged, the mirror is whole", Action.REPAIR),
    Case("mirror-diverged", "journal and mirror contradict each other", Action.HALT, _INSPECT),
    # Against the database.
    Case("journal-behind-shipped", "more was shipped than the journal holds: the disk was rolled back", Action.HALT,
         "Do not start the gateway on this disk. Restore the newer journal, or retire this directory and begin another."),
)  # fmt: skip

CASES: dict[str, Case] = {case.name: case for case in RECOVERY}


class Finding(msgspec.Struct, frozen=True):
    """A case met at a place of a journal: file, byte offset and what exactly was seen there."""

    case: Case
    file: Path
    offset: int
    detail: str

    def __str__(self) -> str:
        """One line for people."""
        seen = "" if self.detail == self.case.meaning else f": {self.detail}"
        return f"{self.case.name}: {self.case.meaning}: {self.file} at byte {self.offset}{seen}"

    @classmethod
    def of(cls, case: str, file: Path, offset: int = 0, detail: str = "") -> "Finding":
        """A finding of the case with this name."""
        return cls(CASES[case], file, offset, detail or CASES[case].meaning)


class JournalDamaged(Exception):
    """A journal that must not be written or shipped before a person has looked at it."""

    def __init__(self, finding: Finding) -> None:
        """`finding` says which case, where and what to do."""
        super().__init__(f"{finding}. {finding.case.remedy}")
        self.case = finding.case.name
        self.file = finding.file
        self.offset = finding.offset
        self.remedy = finding.case.remedy
