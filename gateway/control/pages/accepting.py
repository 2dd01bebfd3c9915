"""What a reader's `Accept` headers ask for (RFC 9110 section 12.4 and 12.5)."""

from collections.abc import Iterator

_RANGES_MAX = 20
_PAGES = ("text/html", "application/xhtml+xml", "text/*")
_DOCUMENTS = ("application/problem+json", "application/json", "application/*")


def accepted_ranges(header: str) -> Iterator[tuple[str, float]]:
    """Each range of an `Accept` or `Accept-Language` with its quality, 0 to 1; of a hostile header the first twenty."""
    for part in header.split(",")[:_RANGES_MAX]:
        name, _, parameters = part.strip().partition(";")
        yield name.strip().lower(), _quality(parameters)


def prefers_page(accept: str) -> bool:
    """Whether a page is wanted rather than a problem document: only if it is asked for by name, as browsers do."""
    qualities = dict(accepted_ranges(accept))
    page = max(qualities.get(name, 0.0) for name in _PAGES)
    return page > max(qualities.get(name, 0.0) for name in _DOCUMENTS)


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name.strip().lower() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0
