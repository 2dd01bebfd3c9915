"""What the pipeline sees of HTTP: a request in, a reply out, free of any framework."""

import msgspec

Headers = tuple[tuple[bytes, bytes], ...]


class RawRequest(msgspec.Struct, frozen=True, gc=False):
    """Method, undecoded path with its query, header pairs with lower-case names, and the whole body."""

    method: str
    raw_path: bytes
    headers: Headers
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        """The value of a header; of one that is repeated, the last."""
        return dict(self.headers).get(name)


class Reply(msgspec.Struct, frozen=True, gc=False):
    """Status, header pairs and body; the transport adds length, date and connection."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
