"""An independent reader of usage journals: the "served" book of `ordergate reconcile`.

Written from the byte tables in billing/journal/README.md alone; it imports nothing of the product, so that a mistake
in the product's reader cannot hide here too.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_HEADER = struct.Struct("<8sHH4x16s16sQQQQ16s412xI")
_RECORD = struct.Struct("<BBHIQII")
_TRAILER = struct.Struct("<4sIQQQ16sI4s")


class AuditError(Exception):
    """The files are not a journal that verifies up to its end; the message says where."""


class _Header(NamedTuple):
    path: Path
    seed: int
    number: int
    base_seq: int
    chain: bytes


class _Entry(NamedTuple):
    seq: int
    kind: int
    payload: bytes


def iter_payloads(
    directory: Path, kind: int | None = None, until: int | None = None
) -> Iterator[tuple[int, int, bytes]]:
    """(sequence number, kind, payload) of every record, or of one kind, in order; raises `AuditError`.

    With `until` up to that sequence number: what a running writer adds behind it is not looked at.
    """
    for entry in _entries(directory):
        if until is not None and entry.seq > until:
            return
        if kind is None or entry.kind == kind:
            yield entry


def last_seq(directory: Path) -> int:
    """The last sequence number of a journal, 0 if it is empty; raises `AuditError`."""
    headers = _headers(directory)
    last = headers[-1].base_seq - 1 if headers else 0
    for entry in _segment(headers[-1], None) if headers else ():
        last = entry.seq
    return last


def _entries(directory: Path) -> Iterator[_Entry]:
    headers = _headers(directory)
    for index, header in enumerate(headers):
        yield from _segment(header, headers[index + 1] if index + 1 < len(headers) else None)


def _headers(directory: Path) -> list[_Header]:
    headers: list[_Header] = []
    for path in sorted(directory.glob("segment-*.journal")):
        with path.open("rb") as file:
            sector = file.read(_HEADER.size)
        if len(sector) < _HEADER.size:
            raise AuditError(f"{path}: no segment header")
        magic, version, _, _, epoch, number, base_seq, _, _, chain, crc = _HEADER.unpack(sector)
        if magic != b"OGJOURNL" or version != 1 or crc != zlib.crc32(sector[:-4]):
            raise AuditError(f"{path}: the segment header does not verify")
        if headers and number != headers[-1].number + 1:
            raise AuditError(f"{path}: number {number} follows {headers[-1].number}")
        headers.append(_Header(path, zlib.crc32(epoch), number, base_seq, chain))
    return headers


def _segment(header: _Header, following: _Header | None) -> Iterator[_Entry]:
    content = header.path.read_bytes()
    position, expected, chain = 512, header.base_seq, header.chain
    while following is None or expected < following.base_seq:
        batch = _batch(content, position, header.seed, expected)
        if batch is None:
            break
        entries, size, stated_chain = batch
        records = content[position : position + size]
        chain = hashlib.blake2b(chain + records, digest_size=16).digest()
        if chain != stated_chain:
            raise AuditError(f"{header.path}: the chain breaks in the batch at byte {position}")
        yield from entries
        expected += len(entries)
        position += -(-(size + _TRAILER.size) // 512) * 512
    if following is not None and (expected != following.base_seq or chain != following.chain):
        raise AuditError(
            f"{header.path}: ends with {expected - 1}, the next segment begins with {following.base_seq}"
        )


def _batch(content: bytes, position: int, seed: int, expected: int) -> tuple[list[_Entry], int, bytes] | None:
    """Entries, size of the record bytes and stated chain of a complete batch; None if it does not verify."""
    entries: list[_Entry] = []
    cursor = position
    while content[cursor : cursor + 1] == b"R" and cursor + _RECORD.size <= len(content):
        _, kind, place, length, seq, payload_crc, header_crc = _RECORD.unpack_from(content, cursor)
        if zlib.crc32(content[cursor : cursor + 20], seed) != header_crc:
            return None
        payload = content[cursor + 24 : cursor + 24 + length]
        if len(payload) < length or zlib.crc32(payload, seed) != payload_crc:
            return None
        if place != len(entries) or seq != expected + place:
            return None
        entries.append(_Entry(seq, kind, payload))
        cursor += 24 + length
    if not entries or len(content) < cursor + _TRAILER.size:
        return None
    magic, count, first, last, durable, chain, crc, end = _TRAILER.unpack_from(content, cursor)
    if (
        magic != b"TRLR"
        or end != b"\xa5\x5a\xc3\x3c"
        or crc != zlib.crc32(content[cursor : cursor + 48], seed)
    ):
        return None
    if (count, first, last, durable) != (len(entries), expected, entries[-1].seq, expected - 1):
        return None
    return entries, cursor - position, chain
