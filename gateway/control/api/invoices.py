"""/api/invoices: the account's statements and invoices."""

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from billing import view
from billing.view import Document, DocumentPage, Month
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Language, Problem, Text
from catalog.vocabulary.spreadsheet import csv_file
from gateway.control.answer import answer, file_answer
from gateway.control.asking import (
    ControlRequest,
    read_form,
    read_language,
    read_limit,
    read_query,
    refused_parameter,
)
from gateway.control.books import Books
from gateway.control.endpoint import (
    LANGUAGE,
    LIMIT,
    PERIOD_OF_DOCUMENT,
    Endpoint,
    FileForm,
    Parameter,
    after,
    format_of,
)
from gateway.proofs import Caller

_FILES: tuple[FileForm, ...] = ("csv", "xlsx", "pdf")


@get("/api/invoices", name="list_invoices")
async def list_invoices(
    request: ControlRequest, caller: NamedDependency[Caller], books: NamedDependency[Books]
) -> Response[bytes]:
    """The account's documents in the environment of the key, latest month first."""
    query = read_query(request, "limit", "after")
    limit = read_limit(query)
    behind = query.get("after")
    if behind is not None and _period(behind) is None:
        raise refused_parameter("after", "reference", "use the `next` of the page before")
    async with books.read(caller.account_id) as transaction:
        return answer(await view.documents(transaction, caller.account_id, caller.environment, limit, behind))


@get("/api/invoices/{period:str}", name="read_invoice")
async def read_invoice(
    request: ControlRequest,
    caller: NamedDependency[Caller],
    books: NamedDependency[Books],
    period: FromPath[str],
) -> Response[bytes]:
    """The document of a month, as JSON, as a table for spreadsheets, or as it is printed."""
    query = read_query(request, "format", "language")
    form = read_form(query, *_FILES)
    language = read_language(query)
    month = _period(period)
    if month is None:
        raise Problem("not-found", "A document is named by its month, such as 2026-10.")
    async with books.read(caller.account_id) as transaction:
        document = await view.document(transaction, Month(caller.account_id, caller.environment, month))
    if form == "json":
        return answer(document)
    return _file(document, form, language)


@get("/api/credit-notes/{number:str}", name="read_credit_note")
async def read_credit_note(
    request: ControlRequest,
    caller: NamedDependency[Caller],
    books: NamedDependency[Books],
    number: FromPath[str],
) -> Response[bytes]:
    """A credit note in the forms of the document that it corrects."""
    query = read_query(request, "format", "language")
    form = read_form(query, *_FILES)
    language = read_language(query)
    async with books.read(caller.account_id) as transaction:
        note = await view.credit_note_document(transaction, number)
    if note.environment != caller.environment:
        raise Problem("not-found", f"There is no credit note {number}.")
    return answer(note) if form == "json" else _file(note, form, language)


def _file(document: Document, form: FileForm, language: Language) -> Response[bytes]:
    name = f"{document.kind}-{document.number or document.state}-{document.period}".replace("/", "-")
    if form == "csv":
        return file_answer(csv_file(view.to_csv(document)), name, form)
    return file_answer(view.printed(document, form, language), name, form)


def _period(text: str) -> Period | None:
    try:
        return Period.parse(text)
    except ValueError:
        return None


HANDLERS = (list_invoices, read_invoice, read_credit_note)
ENDPOINTS = (
    Endpoint(
        "list_invoices",
        "GET",
        "/api/invoices",
        Text("Your statements and invoices, latest month first.", "您的结算单与发票，最近月份在前。"),
        DocumentPage,
        parameters=(LIMIT, after("2026-10")),
        problems=("invalid-input",),
    ),
    Endpoint(
        "read_invoice",
        "GET",
        "/api/invoices/{period}",
        Text("A month's statement or invoice with its lines.", "某月的结算单或发票及其明细。"),
        Document,
        parameters=(
            PERIOD_OF_DOCUMENT,
            format_of(*_FILES),
            LANGUAGE,
        ),
        problems=("invalid-input", "not-found"),
        files=_FILES,
    ),
    Endpoint(
        "read_credit_note",
        "GET",
        "/api/credit-notes/{number}",
        Text(
            "A credit note, in the shape of the document that it corrects.",
            "红字通知单，与其更正的单据格式相同。",
        ),
        Document,
        parameters=(
            Parameter(
                "number",
                "path",
                Text(
                    "Its number, as `credit_notes` of an invoice names it.", "编号，见账单的 `credit_notes`。"
                ),
                {"type": "string", "examples": ["CN-2026-000001"]},
            ),
            format_of(*_FILES),
            LANGUAGE,
        ),
        problems=("invalid-input", "not-found"),
        files=_FILES,
    ),
)
