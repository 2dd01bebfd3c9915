"""The byte layout and the independent reader that holds it to its documentation."""

import asyncio
from pathlib import Path

import pytest

from billing.journal import JournalReader, verify
from billing.journal.format import SegmentHeader, UnreadableHeader, decode_segment_header, encode_segment_header
from deploy import journal_audit
from tests.fakes.journal_disk import write_batches


def test_tmp(tmp_path: Path) -> None:
    d = tmp_path / "w"
    write_batches(d, [[(i % 3, b"x" * (i * 37 % 900)) for i in range(1, n + 1)] for n in range(1, 40)])
    write_batches(d, [[(7, b"again")]])
    r = verify(d)
    print(r)
    assert r.exit_code == 0
    assert journal_audit.count_records(d) == r.kinds
    page = JournalReader(d).read_after(0, 10**9)
    assert [(x.seq, x.kind, x.payload) for x in page.records] == list(journal_audit.iter_payloads(d))
