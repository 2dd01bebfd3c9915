"""Rendered pages, kept until what is on sale changes: a page costs some milliseconds in which no call is answered."""

from collections.abc import Callable

from catalog.load import Catalogue

_PAGES_MAX = 200
Key = tuple[object, ...]


class KeptPages:
    """Pages by what they depend on besides the catalogue. Holds at most 200; a reader cannot make it grow."""

    def __init__(self) -> None:
        self._catalogue: Catalogue | None = None
        self._pages: dict[Key, bytes] = {}

    def get(self, catalogue: Catalogue, key: Key, make: Callable[[], bytes]) -> bytes:
        """The page under a key, made once for this very catalogue."""
        if self._catalogue is not catalogue or len(self._pages) >= _PAGES_MAX:
            self._catalogue = catalogue
            self._pages = {}
        page = self._pages.get(key)
        if page is None:
            page = self._pages[key] = make()
        return page
