"""Rendered pages, kept until what they show changes: a page costs some milliseconds in which no call is answered."""

from collections import OrderedDict
from collections.abc import Callable, Hashable

import msgspec

from gateway.control.published import Contracts

BYTES_MAX = 32 * 1024 * 1024


class _Kept(msgspec.Struct, frozen=True):
    shows: object
    page: bytes


class KeptPages:
    """Pages by what a reader may choose. Where they grow beyond a bound, those that nobody asked for the longest go first."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        """At most `bytes_max` of pages, which is room for every page of a dozen services in every form."""
        self._bytes_max = bytes_max
        self._bytes = 0
        self._contracts: Contracts | None = None
        self._pages: OrderedDict[Hashable, _Kept] = OrderedDict()

    def get(
        self, contracts: Contracts, key: Hashable, make: Callable[[], bytes], *, shows: object = None
    ) -> bytes:
        """The page under a key, made once for these very contracts and what else it `shows`."""
        if self._contracts is not contracts:
            self._contracts = contracts
            self._pages.clear()
            self._bytes = 0
        kept = self._pages.get(key)
        if kept is None or kept.shows != shows:
            kept = _Kept(shows, make())
            self._keep(key, kept)
        else:
            self._pages.move_to_end(key)
        return kept.page

    def _keep(self, key: Hashable, kept: _Kept) -> None:
        outdated = self._pages.pop(key, None)
        if outdated is not None:
            self._bytes -= len(outdated.page)
        self._pages[key] = kept
        self._bytes += len(kept.page)
        while self._bytes > self._bytes_max:
            _, forgotten = self._pages.popitem(last=False)
            self._bytes -= len(forgotten.page)
