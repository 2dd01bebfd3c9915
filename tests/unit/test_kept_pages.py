"""Kept pages are made once for what they show, and stay within their bound."""

from collections.abc import Callable

from catalog.load import load
from gateway.control.pages.kept import KeptPages
from gateway.control.published import Contracts


def _contracts() -> Contracts:
    return Contracts(load((), ()), {}, (), 0)


class _Maker:
    """Makes pages of ten bytes and remembers which."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def of(self, name: str) -> Callable[[], bytes]:
        def make() -> bytes:
            self.made.append(name)
            return name.encode().ljust(10)

        return make


def test_a_page_is_made_once_until_what_is_on_sale_or_what_it_shows_changes() -> None:
    pages, maker, contracts = KeptPages(), _Maker(), _contracts()
    for shows in ("good", "good", "bad", "bad"):
        assert pages.get(contracts, "/", maker.of(shows), shows=shows) == shows.encode().ljust(10)
    assert maker.made == ["good", "bad"]
    pages.get(_contracts(), "/", maker.of("new"), shows="bad")
    assert maker.made == ["good", "bad", "new"]


def test_beyond_the_bound_the_page_that_nobody_asked_for_the_longest_is_forgotten() -> None:
    pages, maker, contracts = KeptPages(bytes_max=30), _Maker(), _contracts()
    for key in ("/", "/a", "/b", "/", "/c", "/", "/d", "/"):
        pages.get(contracts, key, maker.of(key))
    assert maker.made == ["/", "/a", "/b", "/c", "/d"], (
        "who is asked for most stays, whatever else is asked for"
    )
    pages.get(contracts, "/a", maker.of("/a"))
    assert maker.made[5:] == ["/a"]


def test_a_page_that_changes_often_takes_no_more_room_than_one() -> None:
    pages, maker, contracts = KeptPages(bytes_max=20), _Maker(), _contracts()
    pages.get(contracts, "/other", maker.of("other"))
    for level in range(50):
        pages.get(contracts, "/service", maker.of(str(level)), shows=level)
    pages.get(contracts, "/other", maker.of("other"))
    assert maker.made.count("other") == 1


def test_a_page_larger_than_the_bound_is_sent_and_not_kept() -> None:
    pages, maker, contracts = KeptPages(bytes_max=9), _Maker(), _contracts()
    for _ in range(2):
        assert pages.get(contracts, "/", maker.of("large")) == b"large     "
    assert maker.made == ["large", "large"]
