"""Templates -> pages. Everything that is put into a template is escaped; nothing is loaded from elsewhere."""

from collections.abc import Mapping
from hashlib import sha256
from importlib import resources
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from catalog.vocabulary.money import grouped
from catalog.vocabulary.problem import LANGUAGES, Language
from gateway.control.pages.language import NAMES
from gateway.control.pages.visit import Visit

STYLE = resources.files("gateway.control.pages").joinpath("style.css").read_bytes()
# The address changes with the content, so browsers may keep it for ever.
STYLE_PATH = f"/assets/{sha256(STYLE).hexdigest()[:16]}.css"

_environment = Environment(
    loader=PackageLoader("gateway.control.pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)


def _with_code(text: str) -> Markup:
    """Text in which `this` is code, escaped piece by piece."""
    pieces = [escape(piece) for piece in text.split("`")]
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if index % 2 else piece for index, piece in enumerate(pieces)
    )


_environment.filters["grouped"] = grouped
_environment.filters["code"] = _with_code


def render(template: str, visit: Visit, **values: Any) -> bytes:
    """The page that is visited, in the reader's language."""
    switches: Mapping[Language, str] = {one: f"?{urlencode({'lang': one})}" for one in LANGUAGES}
    page = _environment.get_template(template).render(
        t=visit.phrases,
        language=visit.language,
        switches=switches,
        language_names=NAMES,
        path=visit.path,
        href=visit.href,
        style_path=STYLE_PATH,
        **values,
    )
    return page.encode()
