"""One journal on its way into the database: where it is read, and why it stands still."""

from pathlib import Path
from uuid import UUID

from billing.journal import Finding, JournalDamaged, JournalReader, Page, adopt, journal_identity
from billing.store.ship import Offset

PAGE_BYTES = 4 * 1024 * 1024
"""Payload read at once: some 20,000 events."""


class Lane:
    """The reading side of one journal directory; its state is only a cache of what disk and database say."""

    def __init__(self, directory: Path, mirror: Path | None) -> None:
        """`mirror` is the same journal's directory on the second disk, if there is one."""
        self.directory = directory
        self._mirror = mirror
        self._reader = JournalReader(directory)
        self._journal_id: UUID | None = None
        self._agreed: Offset | None = None

    def copies(self) -> list[Path]:
        """The directories that hold this journal: itself and, where it exists, its mirror."""
        mirror = self._mirror
        return [self.directory] if mirror is None or not mirror.is_dir() else [self.directory, mirror]

    def journal_id(self) -> UUID | None:
        """The journal's identity, None while it has no segment; raises `JournalDamaged`."""
        if self._journal_id is None:
            self._journal_id = journal_identity(self.directory)
        return self._journal_id

    def read(self, since: Offset) -> Page:
        """The next page of durable records; empty when there is nothing new.

        Raises `JournalDamaged`, also where the journal at `since` is not the one that was shipped up to there.
        """
        if since.last_seq and self._agreed != since:
            found = self._reader.read_after(since.last_seq, 0).chain
            if found != since.chain:
                detail = f"after record {since.last_seq} the chain is {found.hex()}, shipped was {since.chain.hex()}"
                raise JournalDamaged(Finding.of("chain-mismatch", self.directory, 0, detail))
        page = self._reader.read_after(since.last_seq, PAGE_BYTES)
        self._agreed = Offset(page.last_seq, page.chain)
        return page

    def adopt(self) -> bool:
        """Recover the journal if nobody writes it: False if somebody does. Raises `JournalDamaged`."""
        if not adopt(self.copies()):
            return False
        self.close()
        return True

    def close(self) -> None:
        """Give the file back; the next read opens it again."""
        self._reader.close()
        self._journal_id = self._agreed = None
