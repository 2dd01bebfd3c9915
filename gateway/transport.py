"""What the pipeline sees of HTTP: a request in, a reply out, free of any framework."""

from collections.abc import Mapping

import msgspec

Headers = tuple[tuple[bytes, bytes], ...]


class RequestHead(msgspec.Struct, gc=False):
    """Method, undecoded path with its query, and header pairs with lower-case names.

    `fields` are the headers by name, once `edge` has found all of it well-formed: a head that a connection repeats
    is the same object again and is not looked through twice.
    """

    method: str
    raw_path: bytes
    headers: Headers
    fields: Mapping[bytes, bytes] | None = None

    def header(self, name: bytes) -> bytes | None:
        """The value of a header; of one that is repeated, the last."""
        return dict(self.headers).get(name)


class RawRequest(msgspec.Struct, frozen=True, gc=False):
    """The head of a request, and its whole body."""

    head: RequestHead
    body: bytes


class Reply(msgspec.Struct, frozen=True, gc=False):
    """Status, header pairs and body; the transport adds length, date and connection."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
