"""Removing segments that were shipped long ago, after writing down what they held."""

from datetime import datetime
from itertools import pairwise
from pathlib import Path

from billing.journal.cases import JournalDamaged
from billing.journal.digests import Digest, append_digests, read_digests
from billing.journal.directory import list_segments, listing_held, sync_directory
from billing.journal.disk import SystemDisk
from billing.journal.scan import scan_segment
from billing.journal.survey import read_header, read_segment
from catalog.vocabulary.clock import to_ns

RETENTION_DAYS = 35
"""Kept after shipping, so that a database restored from a backup can be shipped again (`Operations` in the runbook)."""


def prune(directory: Path, shipped_seq: int, older_than: datetime) -> list[Digest]:
    """Remove segments that are shipped up to `shipped_seq` and were followed by another before `older_than`.

    Never removes the last segment. Each one is read through once more and its digest is durable before it goes;
    raises `JournalDamaged` and keeps a segment that does not verify. Prune a mirror with the same arguments.
    """
    disk = SystemDisk()
    removed: list[Digest] = []
    with listing_held(directory, exclusive=True):
        known = {digest.segment for digest in read_digests(directory)}
        segments = list(list_segments(directory).items())
        for (number, path), (_, following) in pairwise(segments):
            header, successor = read_header(disk, path), read_header(disk, following)
            if successor.base_seq - 1 > shipped_seq or successor.created_ns >= to_ns(older_than):
                break
            scan = scan_segment(read_segment(disk, path), header, path, successor)
            if scan.findings[0].case.action == "halt":
                raise JournalDamaged(scan.findings[0])
            last_seq = successor.base_seq - 1
            digest = Digest(
                header.journal_id, number, header.base_seq, last_seq, dict(scan.kinds), successor.chain.hex()
            )
            if number not in known:
                append_digests(disk, directory, [digest])
            disk.unlink(path)
            sync_directory(disk, directory)
            removed.append(digest)
    return removed
