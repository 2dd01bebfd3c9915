"""Rate counters shared by all workers of a machine: one file of GCRA arrival times, mapped into each of them.

The Generic Cell Rate Algorithm (ITU-T I.371) needs one number a limit, the theoretical arrival time. A slot is
changed under a byte-range lock that the kernel gives up when a worker dies, so the count is exact over workers and
a crash leaves it whole. A slot whose arrival time has passed means the same as an empty one and can be taken over,
which keeps the file at its size for ever.
"""

import mmap
import os
import struct
from fcntl import LOCK_EX, LOCK_UN, lockf
from hashlib import blake2b
from pathlib import Path

from gateway.limit import Decision

SLOTS = 1 << 16
_SLOT = struct.Struct("<16sq")
_PROBES = 16
_SPAN = _PROBES * _SLOT.size


class SharedCounters:
    """Counters in a file that every worker maps. Made anew at each start: arrival times count from boot."""

    def __init__(self, path: Path) -> None:
        """Map the file, creating it if there is none."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._file).st_size < SLOTS * _SLOT.size:
            os.ftruncate(self._file, SLOTS * _SLOT.size)
        self._map = mmap.mmap(self._file, SLOTS * _SLOT.size)
        self._places: dict[bytes, tuple[bytes, int]] = {}

    def close(self) -> None:
        """Unmap."""
        self._map.close()
        os.close(self._file)

    def take(self, key: bytes, quantity: int, window_s: int, now_ns: int) -> Decision:
        """Count one call against `quantity` a window, if it fits."""
        window_ns = window_s * 1_000_000_000
        interval_ns = window_ns // quantity
        tolerance_ns = window_ns - interval_ns
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = _place(key)
        digest, start = place
        # Probe ranges of different keys overlap, so the lock covers the whole range that may be written.
        lockf(self._file, LOCK_EX, _SPAN, start)
        try:
            offset, (holder, arrival_ns) = start, _SLOT.unpack_from(self._map, start)
            if holder != digest:
                offset, holder, arrival_ns = self._find(digest, start, now_ns)
            begin_ns = arrival_ns if arrival_ns > now_ns else now_ns
            ahead_ns = begin_ns - now_ns
            if ahead_ns > tolerance_ns:
                return Decision(False, 0, _seconds(ahead_ns), _seconds(ahead_ns - tolerance_ns))
            _SLOT.pack_into(self._map, offset, holder, begin_ns + interval_ns)
        finally:
            lockf(self._file, LOCK_UN, _SPAN, start)
        ahead_ns += interval_ns
        return Decision(True, (window_ns - ahead_ns) // interval_ns, _seconds(ahead_ns), 0)

    def _find(self, digest: bytes, start: int, now_ns: int) -> tuple[int, bytes, int]:
        free = -1
        soonest, soonest_holder, soonest_ns = -1, b"", 1 << 63
        for offset in range(start, start + _SPAN, _SLOT.size):
            holder, arrival_ns = _SLOT.unpack_from(self._map, offset)
            if holder == digest:
                return offset, digest, arrival_ns
            if arrival_ns <= now_ns:
                free = offset if free < 0 else free
            elif arrival_ns < soonest_ns:
                soonest, soonest_holder, soonest_ns = offset, holder, arrival_ns
        if free >= 0:
            return free, digest, 0
        # Sixteen busy neighbours: count on the slot that frees first. Stricter for both, never above the policy.
        return soonest, soonest_holder, soonest_ns


def _place(key: bytes) -> tuple[bytes, int]:
    """The name of a key's slot, and the offset at which the search for it begins."""
    digest = blake2b(key, digest_size=16).digest()
    return digest, int.from_bytes(digest[:4], "little") % (SLOTS - _PROBES) * _SLOT.size


def _seconds(nanoseconds: int) -> int:
    return -(-nanoseconds // 1_000_000_000)
