"""One Chromium for all pictures, driven over a pair of pipes with the DevTools protocol (chromedevtools.github.io)."""

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_SECONDS_MAX = 60.0
# Chromium reads commands from descriptor 3 and writes to 4; ours must not be in the way when they become these.
_COMMANDS, _ANSWERS, _CLEAR_OF_BOTH = 3, 4, 10
_HEIGHT_MAX = 8_000
_SCROLLS_SIDEWAYS = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


class BrowserFailed(Exception):
    """Chromium is missing, has ended, or refused a command; the message says which."""


class Look(msgspec.Struct, frozen=True):
    """How a page is looked at: colour scheme `light` or `dark`, and the window in CSS pixels."""

    scheme: str
    width: int
    height: int


class Browser:
    """One tab. Every method waits until the browser has done it; `BrowserFailed` where it does not."""

    def __init__(self, commands: int, answers: int) -> None:
        """Descriptors of the pipes to and from a browser that has started."""
        self._commands = commands
        self._answers = answers
        self._numbers = itertools.count(1)
        self._read = b""
        self._loaded = False
        self._session: str | None = None
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._ask("Page.enable")

    def open(self, url: str, look: Look) -> None:
        """Load a page as somebody sees it who looks in this way."""
        self._ask(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": look.scheme}]
        )
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=look.width,
            height=look.height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self._loaded = False
        if "errorText" in (answer := self._ask("Page.navigate", url=url)):
            raise BrowserFailed(f"{url} cannot be opened: {answer['errorText']}")
        self._wait_until_loaded()

    def press(self, selector: str) -> None:
        """Press a button that leads to another page, and wait for that."""
        self._loaded = False
        found = self._value(
            f"(e => (e && setTimeout(() => e.click()), !!e))(document.querySelector({selector!r}))"
        )
        if not found:
            raise BrowserFailed(f"the page has no {selector}")
        self._wait_until_loaded()

    def address(self) -> str:
        """Where the browser is now."""
        return str(self._value("location.href"))

    def scrolls_sideways(self) -> bool:
        """Whether the page is wider than its window."""
        return bool(self._value(_SCROLLS_SIDEWAYS))

    def picture(self) -> bytes:
        """The page as PNG, from its top to its end, however far below the window that is."""
        size = self._ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {
            "x": 0,
            "y": 0,
            "width": size["width"],
            "height": min(size["height"], _HEIGHT_MAX),
            "scale": 1,
        }
        shot = self._ask("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(shot["data"])

    def _value(self, expression: str) -> Any:
        answer = self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserFailed(f"{expression}: {answer['exceptionDetails']['text']}")
        return answer["result"].get("value")

    def _wait_until_loaded(self) -> None:
        deadline = time.monotonic() + _SECONDS_MAX
        while not self._loaded:
            self._next(deadline)

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            command["sessionId"] = self._session
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        deadline = time.monotonic() + _SECONDS_MAX
        while (answer := self._next(deadline)).get("id") != number:
            pass
        if "error" in answer:
            raise BrowserFailed(f"{method}: {answer['error']['message']}")
        found: dict[str, Any] = answer["result"]
        return found

    def _next(self, deadline: float) -> dict[str, Any]:
        """The next message, answer or event."""
        while b"\0" not in self._read:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            more = os.read(self._answers, 1 << 16) if ready else b""
            if not more:
                raise BrowserFailed("the browser has ended" if ready else "the browser does not answer")
            self._read += more
        text, _, self._read = self._read.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        self._loaded |= message.get("method") == "Page.loadEventFired"
        return message


def found_browser() -> str | None:
    """The Chromium of this machine, if it has one."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser without a window and with nothing remembered; gone after the block."""
    program = found_browser()
    if program is None:
        raise BrowserFailed(f"there is none: install one of {', '.join(_NAMES)}")
    theirs_in, ours_out = _pipe()
    ours_in, theirs_out = _pipe()

    def join() -> None:
        os.dup2(theirs_in, _COMMANDS)
        os.dup2(theirs_out, _ANSWERS)

    with tempfile.TemporaryDirectory(prefix="ordergate-portal-", ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [
                program,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--remote-debugging-pipe",
                f"--user-data-dir={profile}",
            ],
            pass_fds=(_COMMANDS, _ANSWERS),
            preexec_fn=join,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            yield Browser(ours_out, ours_in)
        finally:
            # Its own way out: it waits for its processes, which would write into the profile while that is deleted.
            with suppress(BrokenPipeError):
                os.write(ours_out, b'{"id":0,"method":"Browser.close"}\0')
            try:
                process.wait(_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(ours_out)
            os.close(ours_in)


def _pipe() -> tuple[int, int]:
    ends = []
    for end in os.pipe():
        ends.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _CLEAR_OF_BOTH))
        os.close(end)
    return ends[0], ends[1]
