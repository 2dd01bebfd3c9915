"""Rendered pages, kept until what is on sale or its price changes: a page costs some milliseconds in which no call is answered."""

from collections.abc import Callable

from gateway.control.published import Contracts

_PAGES_MAX = 200
Key = tuple[object, ...]


class KeptPages:
    """Pages by what they depend on besides the contracts of the moment. Holds at most 200; a reader cannot make it grow."""

    def __init__(self) -> None:
        self._contracts: Contracts | None = None
        self._pages: dict[Key, bytes] = {}

    def get(self, contracts: Contracts, key: Key, make: Callable[[], bytes]) -> bytes:
        """The page under a key, made once for these very contracts."""
        if self._contracts is not contracts or len(self._pages) >= _PAGES_MAX:
            self._contracts = contracts
            self._pages = {}
        page = self._pages.get(key)
        if page is None:
            page = self._pages[key] = make()
        return page
