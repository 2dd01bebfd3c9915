"""/sign-in/{token}, /sign-out and /me: one-time links, sessions, and what a person sees of their accounts.

A link is used by a button, not by opening it: mail scanners and previews open links.
"""

from typing import Any, Literal

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from billing import desk, view
from billing.view import Document, Month
from catalog.accounts.account import Account, find_account, list_accounts
from catalog.accounts.role import NAMES, sees_every_account
from catalog.accounts.user import User
from catalog.vocabulary.clock import from_ns, local_time
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import decimal_of
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Language, Problem
from catalog.vocabulary.spreadsheet import csv_file
from gateway.control.answer import file_answer
from gateway.control.asking import ControlRequest, read_form, read_query
from gateway.control.books import Books
from gateway.control.context import ControlContext
from gateway.control.endpoint import FileForm
from gateway.control.pages.render import render
from gateway.control.pages.visit import Visit
from gateway.control.sign_in import cookie
from gateway.control.sign_in.picture import picture
from gateway.stores.sign_in import end_session, find_session, link_works, use_link

_ALL_ACCOUNTS = "*"
_ENVIRONMENT: Environment = "live"
_DOCUMENTS_MAX = 24


@get("/sign-in/{token:str}", name="sign_in_page")
async def sign_in_page(
    visit: NamedDependency[Visit],
    context: NamedDependency[ControlContext],
    books: NamedDependency[Books],
    token: FromPath[str],
) -> Response[bytes]:
    """What a link opens: a button that uses it, or what to do about a link that does not work."""
    now = from_ns(context.clock.now_ns())
    async with books.write(_ALL_ACCOUNTS) as transaction:
        works = await link_works(transaction, token, now)
    return _page(visit, "sign_in.html", 200 if works else 410, works=works)


@post("/sign-in/{token:str}", name="sign_in", status_code=303)
async def sign_in(
    request: ControlRequest,
    visit: NamedDependency[Visit],
    context: NamedDependency[ControlContext],
    books: NamedDependency[Books],
    token: FromPath[str],
) -> Response[bytes]:
    """Use the link up and begin a session."""
    cookie.check_origin(request)
    now = from_ns(context.clock.now_ns())
    async with books.write(_ALL_ACCOUNTS) as transaction:
        session = await use_link(transaction, token, now)
    if session is None:
        return _page(visit, "sign_in.html", 410, works=False)
    return _elsewhere(visit.href("/me"), cookie.session_cookie(request, session))


@post("/sign-out", name="sign_out", status_code=303)
async def sign_out(
    request: ControlRequest,
    visit: NamedDependency[Visit],
    context: NamedDependency[ControlContext],
    books: NamedDependency[Books],
) -> Response[bytes]:
    """End the session, here and for whoever else has the cookie."""
    session = cookie.read_session(request)
    if session is not None:
        await cookie.check_form(request, session)
        async with books.write(_ALL_ACCOUNTS) as transaction:
            await end_session(transaction, session, from_ns(context.clock.now_ns()))
    return _elsewhere(visit.href("/me"), cookie.no_cookie(request))


@get("/me", name="me")
async def me(
    request: ControlRequest,
    visit: NamedDependency[Visit],
    context: NamedDependency[ControlContext],
    books: NamedDependency[Books],
) -> Response[bytes]:
    """Who has signed in, and an account's month so far with its documents; how to sign in for everybody else."""
    user = await _user(request, context, books)
    if user is None:
        return _page(visit, "signed_out.html", 200)
    accounts = await _accounts(user, books)
    asked = request.query_params.get("account")
    account = next((one for one in accounts if asked in (None, one.id, one.name)), None)
    if asked is not None and account is None:
        raise Problem("not-found", "There is no such account among yours.")
    session = cookie.read_session(request)
    assert session is not None, "who has a session sent it"
    shown: dict[str, Any] = {"account": account}
    if account is not None:
        now = from_ns(context.clock.now_ns())
        period = Period.of(now, account.timezone)
        month = Month(account.id, _ENVIRONMENT, period)
        async with books.read(account.id) as transaction:
            used = await view.usage(transaction, account.id, _ENVIRONMENT, period)
            days = await view.usage_days(transaction, month)
            documents = await view.documents(transaction, account.id, _ENVIRONMENT, _DOCUMENTS_MAX)
            results = await view.waiting_results(transaction, account.id, _ENVIRONMENT)
        shown |= {
            "used": used,
            "picture": picture(period, days),
            "documents": documents.data,
            "results": results,
            "may_agree": account.id in user.account_ids,
            "as_of": local_time(now, account.timezone),
        }
    return _page(
        visit,
        "me.html",
        200,
        user=user,
        role=visit.phrases.of(NAMES[user.role]),
        accounts=accounts,
        form_token=cookie.form_token(session),
        **shown,
    )


@post("/me/{account:str}/results", name="accept_my_results", status_code=303)
async def accept_my_results(
    request: ControlRequest,
    context: NamedDependency[ControlContext],
    books: NamedDependency[Books],
    visit: NamedDependency[Visit],
    account: FromPath[str],
) -> Response[bytes]:
    """Accept the open results of a month at the amount that the page showed; who only looks into an account does not agree for it."""
    session = cookie.read_session(request)
    user = await _user(request, context, books)
    if session is None or user is None:
        raise Problem("forbidden", "Sign in again: the session has ended.")
    fields = await cookie.check_form(request, session)
    if account not in user.account_ids:
        raise Problem("forbidden", "Only members of an account accept its results.")
    try:
        month = Month(account, _ENVIRONMENT, Period.parse(fields.get("period", "")))
        total = decimal_of(fields.get("total", ""))
    except ValueError:
        raise Problem(
            "malformed-request", "The form names no month and amount; open the page again."
        ) from None
    async with books.write(account) as transaction:
        now = from_ns(context.clock.now_ns())
        await desk.accept_results(transaction, month, total, f"user/{user.id}", now)
    headers = {"location": visit.href(f"/me?account={account}"), "cache-control": "no-store"}
    return Response(b"", status_code=303, media_type="text/plain", headers=headers)


@get("/me/{account:str}/{period:str}", name="my_document")
async def my_document(
    request: ControlRequest,
    context: NamedDependency[ControlContext],
    books: NamedDependency[Books],
    visit: NamedDependency[Visit],
    account: FromPath[str],
    period: FromPath[str],
) -> Response[bytes]:
    """A month's statement or invoice as a file."""
    form = read_form(read_query(request, "format", "lang"), "csv", "xlsx", "pdf")
    user = await _user(request, context, books)
    mine = () if user is None else await _accounts(user, books)
    try:
        month = Period.parse(period)
    except ValueError:
        month = None
    if month is None or account not in [one.id for one in mine]:
        raise Problem("not-found", "There is no such document among yours; sign in and open it from /me.")
    async with books.read(account) as transaction:
        document = await view.document(transaction, Month(account, _ENVIRONMENT, month))
    return _file(document, form, visit.language)


@get("/me/{account:str}/credit-notes/{number:str}", name="my_credit_note")
async def my_credit_note(
    request: ControlRequest,
    context: NamedDependency[ControlContext],
    books: NamedDependency[Books],
    visit: NamedDependency[Visit],
    account: FromPath[str],
    number: FromPath[str],
) -> Response[bytes]:
    """A credit note as a file."""
    form = read_form(read_query(request, "format", "lang"), "csv", "xlsx", "pdf")
    user = await _user(request, context, books)
    mine = () if user is None else await _accounts(user, books)
    if account not in [one.id for one in mine]:
        raise Problem("not-found", "There is no such document among yours; sign in and open it from /me.")
    async with books.read(account) as transaction:
        note = await view.credit_note_document(transaction, number)
    return _file(note, form, visit.language)


def _file(document: Document, form: FileForm | Literal["json"], language: Language) -> Response[bytes]:
    name = f"{document.number or document.state}-{document.period}"
    if form in ("xlsx", "pdf"):
        return file_answer(view.printed(document, form, language), name, form)
    return file_answer(csv_file(view.to_csv(document)), name, "csv")


async def _user(request: ControlRequest, context: ControlContext, books: Books) -> User | None:
    session = cookie.read_session(request)
    if session is None:
        return None
    async with books.write(_ALL_ACCOUNTS) as transaction:
        return await find_session(transaction, session, from_ns(context.clock.now_ns()))


async def _accounts(user: User, books: Books) -> tuple[Account, ...]:
    """What a person may look into, by name; the platform's own accounts are nobody's customers."""
    if sees_every_account(user.role):
        async with books.read(_ALL_ACCOUNTS) as transaction:
            return tuple(one for one in await list_accounts(transaction) if one.kind != "platform")
    found = []
    for account_id in user.account_ids:
        async with books.read(account_id) as transaction:
            found.append(await find_account(transaction, account_id))
    return tuple(sorted(found, key=lambda one: one.name))


def _page(visit: Visit, template: str, status: int, **values: Any) -> Response[bytes]:
    """A page that is for one reader: nobody on the way may keep it."""
    return Response(
        render(template, visit, **values),
        status_code=status,
        media_type="text/html",
        headers={
            "content-language": visit.language,
            "vary": "Accept-Language, Cookie",
            "cache-control": "no-store",
        },
    )


def _elsewhere(path: str, set_cookie: str) -> Response[bytes]:
    headers = {"location": path, "set-cookie": set_cookie, "cache-control": "no-store"}
    return Response(b"", status_code=303, media_type="text/plain", headers=headers)


HANDLERS = (sign_in_page, sign_in, sign_out, me, accept_my_results, my_document, my_credit_note)
