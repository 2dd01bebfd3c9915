"""The session's cookie, and what keeps other sites from using it.

The cookie is HttpOnly and SameSite=Lax, and over HTTPS `__Host-` and Secure: it is sent to this host alone (RFC 6265bis,
4.1.3). A request that changes something must come from a page of this server, and carry a token that only such a page
has: it is derived from the session, and a site that cannot read the cookie cannot derive it.
"""

import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from catalog.vocabulary.problem import Problem
from gateway.control.asking import ControlRequest
from gateway.stores.sign_in import SESSION_LASTS

_NAME = "ordergate_session"
_TOKEN_LENGTH_MAX = 100
_FIELDS_MAX = 5


def read_session(request: ControlRequest) -> str | None:
    """The session's token, if the request has one that could be any."""
    token = request.cookies.get(_name(request))
    return token if token and len(token) <= _TOKEN_LENGTH_MAX and token.isascii() else None


def session_cookie(request: ControlRequest, token: str) -> str:
    """`Set-Cookie` of a new session."""
    return _cookie(request, token, int(SESSION_LASTS.total_seconds()))


def no_cookie(request: ControlRequest) -> str:
    """`Set-Cookie` that takes the session away."""
    return _cookie(request, "", 0)


def form_token(session: str) -> str:
    """What a form of this session carries."""
    return hmac.digest(session.encode(), b"ordergate form", "sha256").hex()


async def check_form(request: ControlRequest, session: str) -> Mapping[str, str]:
    """The fields that a form of this session has sent; `Problem` forbidden for any other request."""
    check_origin(request)
    try:
        fields = dict(parse_qsl((await request.body()).decode("ascii"), max_num_fields=_FIELDS_MAX))
    except ValueError:
        fields = {}
    if not hmac.compare_digest(fields.get("token", "").encode(), form_token(session).encode()):
        raise Problem("forbidden", "The form is not of this session; open the page again and repeat.")
    return fields


def check_origin(request: ControlRequest) -> None:
    """`Problem` forbidden for what a page of another site has sent. Browsers set these headers, pages cannot."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin", "null")
    # "null" is what a page without referrers, such as ours, sends to its own server too.
    foreign = origin != "null" and urlsplit(origin).netloc != request.headers.get("host", "")
    if site != "same-origin" or foreign:
        raise Problem("forbidden", "The request was sent by a page of another site.")


def _cookie(request: ControlRequest, value: str, max_age_s: int) -> str:
    cookie = f"{_name(request)}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age_s}"
    return f"{cookie}; Secure" if _is_https(request) else cookie


def _name(request: ControlRequest) -> str:
    return f"__Host-{_NAME}" if _is_https(request) else _NAME


def _is_https(request: ControlRequest) -> bool:
    return bool(request.scope["scheme"] == "https")
