"""Pictures show a page as it was asked for, whole, and a page that is wider than its window is noticed."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.portal.browser import Browser, BrowserFailed, Look, browser, found_browser

pytestmark = pytest.mark.skipif(found_browser() is None, reason="needs Chromium")

_PAGE = """<!doctype html><meta name="viewport" content="width=device-width"><body style="margin:0">
<style>@media (prefers-color-scheme: dark) {{ body {{ height: 1234px }} }}</style>
<div style="width:{width}px;height:300px">wide or not</div><a id="next" href="{then}">next</a>"""


def _size(picture: bytes) -> tuple[int, int]:
    """Width and height of a PNG (its first chunk is IHDR)."""
    width, height = struct.unpack(">II", picture[16:24])
    return width, height


@pytest.fixture(scope="module")
def eyes() -> Iterator[Browser]:
    with browser() as found:
        yield found


def _page(folder: Path, name: str, width: int, then: str = "") -> str:
    path = folder / f"{name}.html"
    path.write_text(_PAGE.format(width=width, then=then))
    return path.as_uri()


def test_a_picture_is_the_whole_page_in_the_scheme_and_the_width_that_were_asked_for(
    eyes: Browser, tmp_path: Path
) -> None:
    page = _page(tmp_path, "page", 200)
    eyes.open(page, Look("light", 390, 400))
    assert _size(eyes.picture()) == (390, 400)
    eyes.open(page, Look("dark", 1440, 400))
    assert _size(eyes.picture()) == (1440, 1234)


def test_a_page_that_is_wider_than_its_window_is_noticed(eyes: Browser, tmp_path: Path) -> None:
    page = _page(tmp_path, "page", 600)
    eyes.open(page, Look("light", 1440, 400))
    assert not eyes.scrolls_sideways()
    eyes.open(page, Look("light", 390, 400))
    assert eyes.scrolls_sideways()


def test_a_button_leads_to_the_next_page_and_what_is_not_there_is_said(eyes: Browser, tmp_path: Path) -> None:
    then = _page(tmp_path, "then", 200)
    eyes.open(_page(tmp_path, "first", 200, then), Look("light", 390, 400))
    eyes.press("#next")
    assert eyes.address() == then
    with pytest.raises(BrowserFailed, match="no #nowhere"):
        eyes.press("#nowhere")
    with pytest.raises(BrowserFailed, match="cannot be opened"):
        eyes.open("http://127.0.0.1:1/", Look("light", 390, 400))
