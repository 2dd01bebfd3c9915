"""The routes of the pages: catalogue, passports, documentation, problems."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from catalog.load import Catalogue
from catalog.vocabulary.problem import PROBLEMS, Problem
from gateway.control.asking import ControlRequest
from gateway.control.context import ControlContext
from gateway.control.pages.kept import KeptPages
from gateway.control.pages.language import Language, choose_language
from gateway.control.pages.operations import (
    ExampleView,
    OperationView,
    common_problems,
    endpoint_views,
    header_views,
    operation_views,
)
from gateway.control.pages.phrases import Phrases
from gateway.control.pages.problems import problem_groups, problem_view
from gateway.control.pages.promises import Tone
from gateway.control.pages.render import STYLE, STYLE_PATH, render
from gateway.control.pages.services import service_view
from gateway.control.published import Contracts, PublishedContracts

_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
_DEFAULT_HOST = "127.0.0.1:8080"
_FRESH_S = 5.0
_LASTING = "public, max-age=31536000, immutable"


class Visit(msgspec.Struct, frozen=True):
    """Who reads: in which language, whether it was asked for in the address, and how this server is reached."""

    path: str
    language: Language
    explicit: bool
    base_url: str

    @property
    def phrases(self) -> Phrases:
        """The pages' words in the reader's language."""
        return Phrases(self.language)


class PublicPages:
    """Renders pages about what is on sale and keeps them as long as that is the same."""

    def __init__(self, context: ControlContext, contracts: PublishedContracts) -> None:
        self._context = context
        self._contracts = contracts
        self._kept = KeptPages()

    def page(
        self,
        visit: Visit,
        template: str,
        values: Callable[[Catalogue, Contracts], Mapping[str, Any]],
        *,
        depends_on: object = None,
    ) -> Response[bytes]:
        """The reply with a page; `values` fills its template, and `depends_on` names what else it shows."""
        catalogue = self._context.directory.current().catalogue

        def make() -> bytes:
            filled = values(catalogue, self._contracts.of(catalogue))
            return render(template, visit.path, visit.language, explicit=visit.explicit, **filled)

        return Response(
            self._kept.get(catalogue, (visit, template, depends_on), make),
            media_type="text/html",
            headers={
                "content-language": visit.language,
                "vary": "Accept-Language",
                "cache-control": "no-cache",
            },
        )


def provide_visit(request: ControlRequest) -> Visit:
    """What the request says about its reader. An unknown `?lang=` is none."""
    asked = request.query_params.get("lang")
    language = choose_language(asked, request.headers.get("accept-language", ""))
    host = request.headers.get("host", "")
    base_url = f"{request.scope['scheme']}://{host if _HOST.fullmatch(host) else _DEFAULT_HOST}"
    return Visit(request.url.path, language, asked is not None, base_url)


@get("/", name="home", sync_to_thread=False)
def home(
    visit: NamedDependency[Visit],
    context: NamedDependency[ControlContext],
    pages: NamedDependency[PublicPages],
) -> Response[bytes]:
    """The catalogue."""
    status = _status(context)

    def values(catalogue: Catalogue, contracts: Contracts) -> Mapping[str, Any]:
        operations = operation_views(contracts.whole.document, visit.phrases, visit.base_url)
        return {
            "services": [
                service_view(catalogue.passports[name], visit.phrases) for name in sorted(contracts.services)
            ],
            "operations": len(operations),
            "first": _first_example(operations),
            "status": status,
        }

    return pages.page(visit, "home.html", values, depends_on=status)


@get("/services/{service:str}", name="service_page", sync_to_thread=False)
def service_page(
    visit: NamedDependency[Visit], pages: NamedDependency[PublicPages], service: FromPath[str]
) -> Response[bytes]:
    """A passport."""

    def values(catalogue: Catalogue, contracts: Contracts) -> Mapping[str, Any]:
        if service not in contracts.services:
            raise Problem("not-found", "The catalogue has no public service of this name.")
        document = contracts.services[service].document
        return {
            "service": service_view(catalogue.passports[service], visit.phrases),
            "operations": operation_views(document, visit.phrases, visit.base_url),
            "common": common_problems(visit.phrases),
        }

    return pages.page(visit, "service.html", values)


@get("/docs", name="docs", sync_to_thread=False)
def docs(visit: NamedDependency[Visit], pages: NamedDependency[PublicPages]) -> Response[bytes]:
    """How to make the first call, and every operation."""

    def values(_catalogue: Catalogue, contracts: Contracts) -> Mapping[str, Any]:
        document = contracts.whole.document
        operations = operation_views(document, visit.phrases, visit.base_url)
        return {
            "operations": operations,
            "endpoints": endpoint_views(document, visit.phrases),
            "first": _first_example(operations),
            "headers": header_views(document, visit.phrases),
            "common": common_problems(visit.phrases),
            "base_url": visit.base_url,
        }

    return pages.page(visit, "docs.html", values)


@get("/problems", name="problems", sync_to_thread=False)
def problems(visit: NamedDependency[Visit], pages: NamedDependency[PublicPages]) -> Response[bytes]:
    """The table of problems."""

    def values(catalogue: Catalogue, _contracts: Contracts) -> Mapping[str, Any]:
        return {"groups": problem_groups(catalogue, visit.phrases)}

    return pages.page(visit, "problems.html", values)


@get("/problems/{name:str}", name="problem", sync_to_thread=False)
def problem(
    visit: NamedDependency[Visit], pages: NamedDependency[PublicPages], name: FromPath[str]
) -> Response[bytes]:
    """The page that a problem's `type` resolves to."""
    if name not in PROBLEMS:
        raise Problem("not-found", "No problem has this name; /problems lists them all.")

    def values(catalogue: Catalogue, _contracts: Contracts) -> Mapping[str, Any]:
        return {"problem": problem_view(PROBLEMS[name], catalogue, visit.phrases)}

    return pages.page(visit, "problem.html", values)


@get(STYLE_PATH, name="style", sync_to_thread=False)
def style() -> Response[bytes]:
    """The one style sheet."""
    return Response(STYLE, media_type="text/css", headers={"cache-control": _LASTING})


def _first_example(operations: tuple[OperationView, ...]) -> ExampleView | None:
    return next((one.examples[0] for one in operations if one.examples), None)


def _status(context: ControlContext) -> Tone:
    if not context.journal.healthy:
        return "bad"
    return "good" if context.directory.age_s < _FRESH_S else "serious"


HANDLERS = (home, service_page, docs, problems, problem, style)
