"""The routes of the pages: catalogue, passports, documentation, problems."""

from collections.abc import Callable, Mapping
from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from billing import view
from billing.view import ServiceLevel
from catalog.load import Catalogue
from catalog.vocabulary.clock import from_ns
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import PROBLEMS, Problem
from gateway.control.books import Books
from gateway.control.context import ControlContext
from gateway.control.pages.attained import attained_views, burning
from gateway.control.pages.kept import KeptPages
from gateway.control.pages.operations import (
    ExampleView,
    OperationView,
    common_problems,
    endpoint_views,
    header_views,
    operation_views,
)
from gateway.control.pages.problems import problem_groups, problem_view
from gateway.control.pages.promises import Tone
from gateway.control.pages.render import STYLE, STYLE_PATH, render
from gateway.control.pages.services import service_view
from gateway.control.pages.visit import Visit
from gateway.control.published import Contracts, PublishedContracts
from gateway.stores.failures import DATABASE_FAILURES

_FRESH_S = 5.0
# No account is in scope: what is read is the same for everybody.
_NOBODY = ""
_LASTING = "public, max-age=31536000, immutable"


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
        shows: object = None,
    ) -> Response[bytes]:
        """The reply with a page; `values` fills its template, of what is on sale and of what else it `shows`."""
        catalogue = self._context.directory.current().catalogue
        contracts = self._contracts.of(catalogue, self._context.clock.now_ns())

        def make() -> bytes:
            filled = values(catalogue, contracts)
            return render(template, visit, **filled)

        key = visit.path, visit.language, visit.explicit, visit.base_url
        return Response(
            visit.addressed(self._kept.get(contracts, key, make, shows=shows)),
            media_type="text/html",
            headers={
                "content-language": visit.language,
                "vary": "Accept-Language",
                "cache-control": "no-cache",
            },
        )


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
                service_view(catalogue.passports[name], contracts.prices[name], visit.phrases)
                for name in sorted(contracts.services)
            ],
            "operations": len(operations),
            "first": _first_example(operations),
            "status": status,
        }

    return pages.page(visit, "home.html", values, shows=status)


@get("/services/{service:str}", name="service_page")
async def service_page(
    visit: NamedDependency[Visit],
    context: NamedDependency[ControlContext],
    books: NamedDependency[Books],
    pages: NamedDependency[PublicPages],
    service: FromPath[str],
) -> Response[bytes]:
    """A passport, and what the service attained."""
    level = await _level(context, books, service)

    def values(catalogue: Catalogue, contracts: Contracts) -> Mapping[str, Any]:
        if service not in contracts.services:
            raise Problem("not-found", "The catalogue has no public service of this name.")
        document = contracts.services[service].document
        passport = catalogue.passports[service]
        shown = service_view(passport, contracts.prices[service], visit.phrases)
        objectives = [objective.id for objective in passport.sla.objectives]
        badges = dict(zip(objectives, shown.promise.badges, strict=True))
        return {
            "service": shown,
            "attained": attained_views(level, badges, visit.phrases) if level else (),
            "burning": burning(level, badges, visit.phrases) if level else (),
            "operations": operation_views(document, visit.phrases, visit.base_url),
            "common": common_problems(visit.phrases),
        }

    return pages.page(visit, "service.html", values, shows=level)


async def _level(context: ControlContext, books: Books, service: str) -> ServiceLevel | None:
    """What everybody may know of a service's running month; None while the database is away: the passport is known."""
    passport = context.directory.current().catalogue.passports.get(service)
    if passport is None:
        return None
    period = Period.of(from_ns(context.clock.now_ns()), "UTC")
    try:
        async with books.read(_NOBODY) as transaction:
            return await view.service_level(transaction, passport, period, None, "UTC")
    except (*DATABASE_FAILURES, TimeoutError):
        return None


@get("/docs", name="docs", sync_to_thread=False)
def docs(
    visit: NamedDependency[Visit],
    context: NamedDependency[ControlContext],
    pages: NamedDependency[PublicPages],
) -> Response[bytes]:
    """How to make the first call, and every operation."""
    running = Period.of(from_ns(context.clock.now_ns()), "UTC")

    def values(_catalogue: Catalogue, contracts: Contracts) -> Mapping[str, Any]:
        document = contracts.whole.document
        operations = operation_views(document, visit.phrases, visit.base_url)
        return {
            "operations": operations,
            "endpoints": endpoint_views(document, visit.phrases, visit.base_url, running),
            "first": _first_example(operations),
            "headers": header_views(document, visit.phrases),
            "common": common_problems(visit.phrases),
            "base_url": visit.base_url,
        }

    return pages.page(visit, "docs.html", values, shows=running)


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
