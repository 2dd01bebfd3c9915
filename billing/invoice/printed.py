"""A document as a file for people: a PDF or a workbook."""

from typing import Literal

from billing.invoice.document import Document
from catalog.vocabulary.problem import Language

PrintedForm = Literal["pdf", "xlsx"]


def printed(document: Document, form: PrintedForm, language: Language) -> bytes:
    """The file's bytes; the same document gives the same bytes."""
    # What draws them is large and seldom needed: a worker that is never asked never loads it.
    if form == "pdf":
        from billing.invoice.render_pdf import to_pdf

        return to_pdf(document, language)
    from billing.invoice.render_xlsx import to_xlsx

    return to_xlsx(document, language)
