"""Who reads a page."""

import re
from urllib.parse import urlencode

import msgspec

from catalog.vocabulary.problem import Language
from gateway.control.asking import ControlRequest
from gateway.control.pages.language import choose_language
from gateway.control.pages.phrases import Phrases

_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
_DEFAULT_HOST = "127.0.0.1:8080"
# Of the two one has what a shell has to be given in quotes, as IPv6 addresses have.
_STAND_IN = "http://host.invalid"
_STAND_IN_BRACKETED = "http://[host.invalid]"


class Visit(msgspec.Struct, frozen=True):
    """Who reads: in which language, whether it was asked for in the address, and where this server is `reached`."""

    path: str
    language: Language
    explicit: bool
    reached: str

    @property
    def base_url(self) -> str:
        """What stands in a page for where the server is reached, until `addressed`: anybody may make up a Host, and no page
        is made for one."""
        return _STAND_IN_BRACKETED if "[" in self.reached else _STAND_IN

    def addressed(self, page: bytes) -> bytes:
        """A page as this reader gets it. An address has no character that HTML would take for its own."""
        return page.replace(self.base_url.encode(), self.reached.encode())

    @property
    def phrases(self) -> Phrases:
        """The pages' words in the reader's language."""
        return Phrases(self.language)

    def href(self, path: str) -> str:
        """A link of this server that keeps a language which was asked for in the address."""
        if not self.explicit:
            return path
        page, mark, fragment = path.partition("#")
        return f"{page}{'&' if '?' in page else '?'}{urlencode({'lang': self.language})}{mark}{fragment}"


def provide_visit(request: ControlRequest) -> Visit:
    """What the request says about its reader. An unknown `?lang=` is none."""
    asked = request.query_params.get("lang")
    language = choose_language(asked, request.headers.get("accept-language", ""))
    host = request.headers.get("host", "")
    reached = f"{request.scope['scheme']}://{host if _HOST.fullmatch(host) else _DEFAULT_HOST}"
    return Visit(request.url.path, language, asked is not None, reached)
