"""What a person sees who asked for a page that is not there, or that cannot be shown."""

from catalog.vocabulary.problem import Language, Problem
from gateway.control.asking import ControlRequest
from gateway.control.pages.accepting import prefers_page
from gateway.control.pages.render import render
from gateway.control.pages.visit import provide_visit

# Programs ask here, whatever their `Accept` says.
_FOR_PROGRAMS = ("/api", "/openapi", "/oauth", "/.well-known", "/metrics", "/healthz", "/readyz")


def wants_page(request: ControlRequest) -> bool:
    """Whether a refusal should be a page: a browser asks for what is neither an interface nor a contract."""
    path = request.url.path
    for_programs = any(path == root or path.startswith((f"{root}/", f"{root}.")) for root in _FOR_PROGRAMS)
    return not for_programs and prefers_page(request.headers.get("accept", ""))


def refused_page(request: ControlRequest, problem: Problem, instance: str) -> tuple[bytes, Language]:
    """The page about a refusal, and its language; `instance` is what to quote in a question."""
    visit = provide_visit(request)
    page = render(
        "refused.html",
        visit,
        problem=problem.type,
        title=visit.phrases.of(problem.type.title),
        remedy=visit.phrases.of(problem.type.remedy),
        instance=instance,
    )
    return page, visit.language
