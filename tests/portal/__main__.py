"""Pictures of every public page of a running installation, to be looked at:  python -m tests.portal [URL] [FOLDER]

Each page in English and Chinese, light and dark, wide and narrow, taken by Chromium. Exit status 1 where Chromium is
missing, the installation does not answer, or a page cannot be taken.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
from rich.console import Console
from rich.progress import track

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_PAGES = ("/", "/docs", "/problems/", "/problems/insufficient-stock", "/nothing-here", "/sign-in")
_LANGUAGES = ("en", "zh-CN")
# Blink's own numbers of the two schemes.
_SCHEMES = {"dark": 0, "light": 1}
_SIZES = {"wide": "1440,2200", "narrow": "500,2200"}
_SECONDS_MAX = 60


def main(url: str, folder: Path) -> int:
    """Take the pictures and say where they are."""
    browser = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        print(f"No browser: install one of {', '.join(_BROWSERS)}.")
        return 1
    try:
        pages = [*_PAGES, *_service_pages(url)]
    except httpx.HTTPError as error:
        print(f"{url} does not answer ({error}): start it with `make run`.")
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    views = list(product(pages, _LANGUAGES, _SCHEMES, _SIZES))
    console = Console(stderr=True)
    for page, language, scheme, size in track(
        views, "taking", console=console, disable=not console.is_terminal
    ):
        name = "-".join((page.strip("/").replace("/", "-") or "home", language, scheme, size))
        _take(browser, urljoin(url, f"{page}?lang={language}"), folder / f"{name}.png", scheme, size)
    print(f"{len(views)} pictures in {folder}")
    return 0


def _service_pages(url: str) -> Iterator[str]:
    paths = httpx.get(urljoin(url, "/openapi.json"), timeout=_SECONDS_MAX).raise_for_status().json()["paths"]
    services = {path.split("/")[2] for path in paths if path.startswith("/v")}
    return (f"/services/{service}" for service in sorted(services))


def _take(browser: str, url: str, picture: Path, scheme: str, size: str) -> None:
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                browser,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                f"--user-data-dir={profile}",
                f"--blink-settings=preferredColorScheme={_SCHEMES[scheme]}",
                f"--window-size={_SIZES[size]}",
                f"--screenshot={picture}",
                url,
            ],
            check=True,
            capture_output=True,
            timeout=_SECONDS_MAX,
        )


if __name__ == "__main__":
    asked = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
    if urlsplit(asked).scheme not in ("http", "https"):
        sys.exit("The first argument is the address of a running installation, such as http://127.0.0.1:8080")
    sys.exit(main(asked, Path(sys.argv[2]) if len(sys.argv) > 2 else Path("build/portal")))
