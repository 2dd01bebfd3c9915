"""The generator's own book: what it was answered, on disk before anybody compares it.

A line for each attempt that was answered or may have arrived; `ordergate reconcile --book` reads it.
"""

import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

_SYNC_EVERY_S = 0.1


class Entry(msgspec.Struct, frozen=True, rename={"class_": "class"}):
    """One attempt. Without `status` it was never answered; `class` and `charge` stand where it has a receipt.

    `change` is what the call, if it ended well, did to the stock of a SKU.
    """

    operation: str
    account: str
    call_id: str | None = None
    status: int | None = None
    class_: str | None = None
    charge: str | None = None
    idempotency_key: str | None = None
    change: Mapping[str, int] = {}

    @property
    def has_receipt(self) -> bool:
        """Whether the call is recorded for certain."""
        return self.charge is not None


class Book:
    """Appends entries; a thread syncs them every tenth of a second, and `close` syncs the rest."""

    def __init__(self, path: Path) -> None:
        """Make the file; one that exists is continued."""
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._lines: deque[bytes] = deque()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="book")
        self._thread.start()

    def write(self, entry: Entry) -> None:
        """Append an entry."""
        self._lines.append(msgspec.json.encode(entry) + b"\n")

    def close(self) -> None:
        """Sync what is left and close."""
        self._closing.set()
        self._thread.join()
        os.close(self._file)

    def _run(self) -> None:
        closing = False
        while not closing:
            closing = self._closing.wait(_SYNC_EVERY_S)
            data = b"".join(self._lines.popleft() for _ in range(len(self._lines)))
            while data:
                data = data[os.write(self._file, data) :]
            os.fdatasync(self._file)


def read_book(path: Path) -> Iterator[Entry]:
    """The entries of a book, in order."""
    decoder = msgspec.json.Decoder(Entry)
    with path.open("rb") as lines:
        for line in lines:
            yield decoder.decode(line)
