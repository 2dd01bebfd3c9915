"""The routes of the pages: catalogue, passports, documentation, problems."""

import re
from typing import Any

import msgspec
from litestar import Response, get

from catalog.vocabulary.problem import PROBLEMS, Problem
from gateway.control.asking import ControlRequest
from gateway.control.context import ControlContext
from gateway.control.pages.language import Language, choose_language
from gateway.control.pages.operations import common_problems, endpoint_views, operation_views
from gateway.control.pages.phrases import Phrases
from gateway.control.pages.problems import problem_groups, problem_view
from gateway.control.pages.promises import Tone
from gateway.control.pages.render import STYLE, STYLE_PATH, render
from gateway.control.pages.services import service_view, service_views
from gateway.control.published import PublishedContracts

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

    def page(self, template: str, **values: Any) -> Response[bytes]:
        """The reply with a rendered page."""
        body = render(template, self.path, self.language, explicit=self.explicit, **values)
        return Response(
            body,
            media_type="text/html; charset=utf-8",
            headers={
                "content-language": self.language,
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
def home(visit: Visit, context: ControlContext, contracts: PublishedContracts) -> Response[bytes]:
    """The catalogue."""
    catalogue = context.directory.current().catalogue
    services = service_views(catalogue, visit.phrases)
    operations = operation_views(contracts.of(catalogue).whole.document, visit.phrases, visit.base_url)
    first = next((one.examples[0] for one in operations if one.examples), None)
    return visit.page(
        "home.html",
        services=services,
        operations=len(operations),
        first=first,
        status=_status(context),
    )


@get("/services/{service:str}", name="service_page", sync_to_thread=False)
def service_page(
    visit: Visit, context: ControlContext, contracts: PublishedContracts, service: str
) -> Response[bytes]:
    """A passport."""
    catalogue = context.directory.current().catalogue
    contract = contracts.of(catalogue).services.get(service)
    if contract is None:
        raise Problem("not-found", "The catalogue has no public service of this name.")
    return visit.page(
        "service.html",
        service=service_view(catalogue.passports[service], visit.phrases),
        operations=operation_views(contract.document, visit.phrases, visit.base_url),
        common=common_problems(visit.phrases),
    )


@get("/docs", name="docs", sync_to_thread=False)
def docs(visit: Visit, context: ControlContext, contracts: PublishedContracts) -> Response[bytes]:
    """How to make the first call, and every operation."""
    document = contracts.of(context.directory.current().catalogue).whole.document
    operations = operation_views(document, visit.phrases, visit.base_url)
    return visit.page(
        "docs.html",
        operations=operations,
        endpoints=endpoint_views(document, visit.phrases),
        first=next((one.examples[0] for one in operations if one.examples), None),
        headers=[
            (
                name,
                header["description"]
                if visit.language == "en"
                else header["x-ordergate"]["description"]["zh-CN"],
            )
            for name, header in document["components"]["headers"].items()
        ],
        common=common_problems(visit.phrases),
        base_url=visit.base_url,
    )


@get("/problems", name="problems", sync_to_thread=False)
def problems(visit: Visit, context: ControlContext) -> Response[bytes]:
    """The table of problems."""
    return visit.page(
        "problems.html", groups=problem_groups(context.directory.current().catalogue, visit.phrases)
    )


@get("/problems/{name:str}", name="problem", sync_to_thread=False)
def problem(visit: Visit, context: ControlContext, name: str) -> Response[bytes]:
    """The page that a problem's `type` resolves to."""
    kind = PROBLEMS.get(name)
    if kind is None:
        raise Problem("not-found", "No problem has this name; /problems lists them all.")
    view = problem_view(kind, context.directory.current().catalogue, visit.phrases)
    return visit.page("problem.html", problem=view)


@get(STYLE_PATH, name="style", sync_to_thread=False)
def style() -> Response[bytes]:
    """The one style sheet."""
    return Response(STYLE, media_type="text/css; charset=utf-8", headers={"cache-control": _LASTING})


def _status(context: ControlContext) -> Tone:
    if not context.journal.healthy:
        return "bad"
    return "good" if context.directory.age_s < _FRESH_S else "serious"


HANDLERS = (home, service_page, docs, problems, problem, style)
