"""Which journal a directory holds."""

from pathlib import Path
from uuid import UUID

from billing.journal.cases import Finding, JournalDamaged
from billing.journal.directory import list_segments
from billing.journal.disk import SystemDisk
from billing.journal.format import UnreadableHeader
from billing.journal.survey import read_header


def journal_identity(directory: Path) -> UUID | None:
    """The id in the header of the oldest kept segment, None while there is no segment; raises `JournalDamaged`, OSError."""
    path = next(iter(list_segments(directory).values()), None)
    if path is None:
        return None
    try:
        return read_header(SystemDisk(), path).journal_id
    except UnreadableHeader as unreadable:
        raise JournalDamaged(Finding.of(unreadable.case, path, 0, str(unreadable))) from None
