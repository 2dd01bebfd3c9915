"""The usage journal: append-only, checksummed, group-committed. The door of this package; see README.md."""

from billing.journal.adopt import adopt
from billing.journal.cases import CASES, RECOVERY, Action, Case, Finding, JournalDamaged
from billing.journal.digests import Digest, read_digests
from billing.journal.directory import JournalInUse, filesystem_warning, journal_directories
from billing.journal.format import PAYLOAD_BYTES_MAX, Record
from billing.journal.identity import journal_identity
from billing.journal.prune import RETENTION_DAYS, prune
from billing.journal.reader import JournalReader, Page
from billing.journal.verify import Report, verify
from billing.journal.writer import Journal, JournalUnavailable

__all__ = [
    "CASES",
    "PAYLOAD_BYTES_MAX",
    "RECOVERY",
    "RETENTION_DAYS",
    "Action",
    "Case",
    "Digest",
    "Finding",
    "Journal",
    "JournalDamaged",
    "JournalInUse",
    "JournalReader",
    "JournalUnavailable",
    "Page",
    "Record",
    "Report",
    "adopt",
    "filesystem_warning",
    "journal_directories",
    "journal_identity",
    "prune",
    "read_digests",
    "verify",
]
