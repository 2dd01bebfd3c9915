"""Pictures of every page, to be looked at:  python -m tests.portal [FOLDER] [--url URL] [--sign-in LINK]

Each page in English and Chinese, light and dark, wide and narrow, taken by Chromium. Without URL they are of an installation
that is started for this, with the demo group, and taken away again: nothing is changed in one that you use. With URL of a
running one they are of that; its signed-in pages need the LINK that `ordergate user link EMAIL` prints, which is used up.

Exit status 1 where a page cannot be taken, or is wider than its window.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import msgspec

from deploy.cli.output import working
from deploy.first_start import FIRST_OPERATOR
from tests.faults.product import Product, until
from tests.portal.browser import Browser, BrowserFailed, Look, browser

_LANGUAGES = ("en", "zh-CN")
_SIZES = {"wide": (1440, 900), "narrow": (390, 844)}
_SCHEMES = ("dark", "light")
_ANSWER_S = 60
# The demo's three months are called, rated and closed meanwhile.
_START_S = 600


class Page(msgspec.Struct, frozen=True):
    """A page, and what its pictures are called."""

    name: str
    path: str

    def url(self, base: str, language: str) -> str:
        """Its address in a language."""
        return urljoin(base, f"{self.path}{'&' if '?' in self.path else '?'}lang={language}")


class Served(msgspec.Struct, frozen=True):
    """An installation: its address, a sign-in link that works once, if there is one, and accounts worth a picture."""

    url: str
    link: str | None
    accounts: tuple[str, ...] = ()


_PUBLIC = (
    Page("home", "/"),
    Page("docs", "/docs"),
    Page("problems", "/problems/"),
    Page("problem", "/problems/insufficient-stock"),
    Page("refused", "/nothing-here"),
    Page("me-signed-out", "/me"),
    Page("sign-in-used-up", "/sign-in/used-up"),
)


def main(folder: Path, url: str | None, link: str | None) -> int:
    """Take the pictures and say where they are."""
    with ExitStack() as stack:
        try:
            served = stack.enter_context(_own_installation()) if url is None else Served(url, link)
            public = [*_PUBLIC, *_service_pages(served.url)]
            eyes = stack.enter_context(browser())
            wide = _take_all(eyes, served, public, folder)
        except httpx.HTTPError as error:
            print(f"{url} does not answer ({error}): start it with `make run`, or leave URL away.")
            return 1
        except BrowserFailed as failed:
            print(f"Chromium: {failed}.")
            return 1
    print(f"{sum(1 for _ in folder.glob('*.png'))} pictures in {folder}")
    if served.link is None:
        print("SKIPPED signed-in pages: name a link of `ordergate user link EMAIL` with SIGN_IN=")
    for name in wide:
        print(f"WRONG {name}: the page is wider than its window")
    return 1 if wide else 0


def _take_all(eyes: Browser, served: Served, public: list[Page], folder: Path) -> list[str]:
    """Take every picture; the names of those whose page is wider than its window."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    looks = list(product(_LANGUAGES, _SCHEMES, _SIZES))
    mine = [Page("me", "/me"), *(Page(f"me-{name}", f"/me?account={name}") for name in served.accounts)]
    if served.link is not None:
        public = [*public, Page("sign-in", urlsplit(served.link).path)]
    total = len(looks) * (len(public) + (len(mine) if served.link is not None else 0))
    done, wide = 0, []
    with working("taking pictures") as progress:
        for pages in (public, mine) if served.link is not None else (public,):
            if pages is mine and served.link is not None:
                _sign_in(eyes, served.link)
            for page, (language, scheme, size) in product(pages, looks):
                progress.count(done, total)
                name = f"{page.name}-{language}-{scheme}-{size}"
                eyes.open(page.url(served.url, language), Look(scheme, *_SIZES[size]))
                (folder / f"{name}.png").write_bytes(eyes.picture())
                if eyes.scrolls_sideways():
                    wide.append(name)
                done += 1
        if served.link is not None:
            eyes.press(".me-head form button")
    return wide


def _sign_in(eyes: Browser, link: str) -> None:
    eyes.open(link, Look("light", *_SIZES["wide"]))
    eyes.press("main form button")
    if urlsplit(eyes.address()).path != "/me":
        raise BrowserFailed(f"{link} does not sign in; make another one with `ordergate user link EMAIL`")


@contextmanager
def _own_installation() -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="ordergate-portal-") as name:
        folder = Path(name)
        # The embedded database runs as another user where this is root.
        folder.chmod(0o711)
        served = Product(folder)
        try:
            with working("starting an installation with the demo group"):
                supervisor = served.spawn()
                until(lambda: supervisor.poll() is not None or served.is_ready(), _START_S, "it is served")
                assert supervisor.poll() is None, served.said()
            link = served.run("user", "link", FIRST_OPERATOR).strip()
            yield Served(served.url, link, ("bu-06", "d-01"))
        finally:
            served.end()


def _service_pages(url: str) -> Iterator[Page]:
    paths = httpx.get(urljoin(url, "/openapi.json"), timeout=_ANSWER_S).raise_for_status().json()["paths"]
    services = {path.split("/")[2] for path in paths if path.startswith("/v")}
    return (Page(f"services-{service}", f"/services/{service}") for service in sorted(services))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make portal")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("build/portal"))
    parser.add_argument("--url", help="a running installation, such as http://127.0.0.1:8080")
    parser.add_argument("--sign-in", metavar="LINK", help="what `ordergate user link EMAIL` printed there")
    given = parser.parse_args()
    if given.url is not None and urlsplit(given.url).scheme not in ("http", "https"):
        parser.error("--url begins with http:// or https://")
    if given.sign_in is not None and given.url is None:
        parser.error("--sign-in is of the installation that --url names")
    return given


if __name__ == "__main__":
    asked = _arguments()
    sys.exit(main(asked.folder, asked.url, asked.sign_in))
