"""A document as a PDF for people: A4, one embedded font for Latin and Chinese, the same bytes for the same document."""

import io
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import registerFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from billing.invoice import words
from billing.invoice.arithmetic import arithmetic
from billing.invoice.document import Document, DocumentLine
from billing.invoice.phrasing import (
    facts,
    recipient_lines,
    seller_lines,
    service_name,
    title_of,
    what_of,
)
from catalog.vocabulary.money import grouped
from catalog.vocabulary.problem import Language

_FONT = "NotoSansSC"
_INK, _QUIET, _RULE, _ACCENT = (
    HexColor("#1c2430"),
    HexColor("#667085"),
    HexColor("#d5dae1"),
    HexColor("#2f6feb"),
)
_WARN = HexColor("#b54708")
_MARGIN = 18 * mm
# reportlab pads its frame by six points on each side.
_WIDTH = A4[0] - 2 * _MARGIN - 12
_BAR_WIDTH = 70 * mm

_TEXT = ParagraphStyle("text", fontName=_FONT, fontSize=9, leading=13, textColor=_INK, wordWrap="CJK")
_SMALL = ParagraphStyle("small", _TEXT, fontSize=7.5, leading=10.5, textColor=_QUIET)
_RIGHT = ParagraphStyle("right", _TEXT, alignment=2)
_TITLE = ParagraphStyle("title", _TEXT, fontSize=20, leading=26)
_HEADING = ParagraphStyle("heading", _TEXT, fontSize=11, leading=16, spaceBefore=5 * mm, spaceAfter=1.5 * mm)
_HEAD = ParagraphStyle("head", _SMALL)
_HEAD_RIGHT = ParagraphStyle("head_right", _SMALL, alignment=2)
_NOTE = ParagraphStyle("note", _TEXT, textColor=_WARN)

_COLUMNS = TableStyle(
    [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), 0),
    ]
)
_ROWS = TableStyle(
    [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LINEBELOW", (0, 0), (-1, 0), 0.8, _INK),
        ("LINEBELOW", (0, 1), (-1, -1), 0.3, _RULE),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("LEFTPADDING", (1, 0), (-1, -1), 4),
        ("RIGHTPADDING", (0, 0), (-1, -1), 0),
        ("TOPPADDING", (0, 0), (-1, -1), 2.5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
    ]
)


def to_pdf(document: Document, language: Language) -> bytes:
    """The printed form: parties and terms, services as bars, lines with the arithmetic of their tiers, cost centres, total."""
    _register_font()
    output = io.BytesIO()
    title = title_of(document, language)
    template = SimpleDocTemplate(
        output,
        pagesize=A4,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=_MARGIN,
        bottomMargin=20 * mm,
        title=title,
        lang=language,
        invariant=True,
    )
    story = [
        *_head(document, title, language),
        *_services(document, language),
        *_lines(document, language),
        *_cost_centres(document, language),
    ]
    template.build(story, canvasmaker=_numbered(f"{title} · {document.period}", language))
    return output.getvalue()


@cache
def _register_font() -> None:
    path = resources.files("billing.invoice").joinpath("fonts/NotoSansSC-Regular.ttf")
    with resources.as_file(path) as file:
        registerFont(TTFont(_FONT, str(file)))


def _head(document: Document, title: str, language: Language) -> list[Flowable]:
    left: list[Flowable] = []
    for label, party in (
        (words.SELLER, seller_lines(document, language)),
        (words.RECIPIENT, recipient_lines(document, language)),
    ):
        if party:
            left += [_small(label.worded(language)), *(_text(line) for line in party), Spacer(0, 2 * mm)]
    right = [
        Paragraph(f"{_safe(label)}  {_safe(value)}".replace("\n", "<br/>"), _RIGHT)
        for label, value in facts(document, language)
    ]
    story: list[Flowable] = [Paragraph(_safe(title), _TITLE)]
    if document.state == "draft":
        story.append(Paragraph(_safe(words.DRAFT_NOTE.worded(language)), _NOTE))
    if document.environment == "test":
        story.append(Paragraph(_safe(words.SANDBOX_NOTE.worded(language)), _NOTE))
    total = Paragraph(
        f'{_safe(words.TOTAL.worded(language))}  <font size="16">{document.total}</font> {document.currency}',
        ParagraphStyle("total", _RIGHT, leading=22),
    )
    columns = [[left, [*right, total]]]
    story += [Spacer(0, 4 * mm), Table(columns, colWidths=[_WIDTH * 0.5] * 2, style=_COLUMNS)]
    return story


def _services(document: Document, language: Language) -> list[Flowable]:
    largest = max((abs(Decimal(service.amount)) for service in document.services), default=Decimal(0))
    rows: list[list[Flowable]] = [
        [
            _head_cell(words.SERVICE.worded(language)),
            _head_cell(""),
            _head_cell(words.CALLS.worded(language), right=True),
            _head_cell(f"{words.AMOUNT.worded(language)} {document.currency}", right=True),
        ]
    ]
    for service in document.services:
        share = abs(Decimal(service.amount)) / largest if largest else Decimal(0)
        rows.append(
            [
                _text(service_name(document, service.service, language)),
                _Bar(float(share)),
                _figure(f"{service.calls:,}" if service.calls else ""),
                _figure(service.amount),
            ]
        )
    widths = [_WIDTH - _BAR_WIDTH - 60 * mm, _BAR_WIDTH, 25 * mm, 35 * mm]
    return [_heading(words.BY_SERVICE.worded(language)), _table(rows, widths)]


def _lines(document: Document, language: Language) -> list[Flowable]:
    rows: list[Sequence[Flowable | list[Paragraph]]] = [
        [
            _head_cell(words.OPERATION.worded(language)),
            _head_cell(words.CALLS.worded(language), right=True),
            _head_cell(words.UNITS.worded(language), right=True),
            _head_cell(words.PRECISE.worded(language), right=True),
            _head_cell(f"{words.AMOUNT.worded(language)} {document.currency}", right=True),
        ]
    ]
    rows += [_line(line, language) for line in document.lines]
    rows.append(
        [
            _text(words.TOTAL.worded(language)),
            _figure(f"{document.calls:,}" if document.calls else ""),
            _figure(""),
            _figure(""),
            _figure(document.total),
        ]
    )
    widths = [_WIDTH - 100 * mm, 20 * mm, 22 * mm, 30 * mm, 28 * mm]
    return [_heading(words.LINES.worded(language)), _table(rows, widths)]


def _line(line: DocumentLine, language: Language) -> list[Flowable | list[Paragraph]]:
    what = [_text(what_of(line, language))]
    if line.correction:
        what.append(_small(words.CORRECTION.worded(language).format(month=line.usage_period)))
    if line.price_version:
        what.append(_small(line.price_version))
    if (credit := line.credit) is not None:
        text = words.SLA_CREDIT.worded(language).format(
            objective=credit.objective,
            measured=credit.measured,
            target=credit.target_pct,
            percent=credit.credit_pct,
            charges=credit.charges,
        )
        what.append(_small(text))
    what += [_small(step) for step in arithmetic(line, language)]
    calls, units = (f"{line.calls:,}", grouped(line.units)) if line.kind == "usage" else ("", "")
    return [what, *(_figure(text) for text in (calls, units, line.precise_amount, line.amount))]


def _cost_centres(document: Document, language: Language) -> list[Flowable]:
    shares = [(line, share) for line in document.lines for share in line.shares]
    if not shares:
        return []
    rows: list[list[Flowable]] = [
        [
            _head_cell(words.COST_CENTRE.worded(language)),
            _head_cell(words.APPLICATION.worded(language)),
            _head_cell(words.OPERATION.worded(language)),
            _head_cell(words.CALLS.worded(language), right=True),
            _head_cell(words.UNITS.worded(language), right=True),
        ]
    ]
    nobody = words.NO_COST_CENTRE.worded(language)
    for line, share in sorted(
        shares, key=lambda one: (one[1].cost_centre, one[1].application, one[0].position)
    ):
        rows.append(
            [
                _text(share.cost_centre or share.cost_centre_id or nobody),
                _text(share.application or share.application_id),
                _text(line.operation),
                _figure(f"{share.calls:,}"),
                _figure(grouped(share.units)),
            ]
        )
    widths = [38 * mm, 42 * mm, _WIDTH - 125 * mm, 20 * mm, 25 * mm]
    return [_heading(words.COST_CENTRES.worded(language)), _table(rows, widths)]


class _Bar(Flowable):
    """A bar as long as its share of the longest."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def wrap(self, _width: float, _height: float) -> tuple[float, float]:
        """Width and height in points."""
        return _BAR_WIDTH, 11

    def draw(self) -> None:
        """Draw it at the origin."""
        self.canv.setFillColor(_ACCENT)
        self.canv.rect(0, 2, max(self.share * (_BAR_WIDTH - 6), 0.6), 6, stroke=0, fill=1)


def _numbered(footer: str, language: Language) -> Callable[..., Canvas]:
    """A canvas that knows on every page how many pages there are."""

    class Numbered(Canvas):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._pages: list[dict[str, object]] = []

        def showPage(self) -> None:  # noqa: N802 - the name reportlab calls
            self._pages.append(dict(self.__dict__))
            self._startPage()  # type: ignore[attr-defined]

        def save(self) -> None:
            for number, page in enumerate(self._pages, 1):
                self.__dict__.update(page)
                self.setFont(_FONT, 7.5)
                self.setFillColor(_QUIET)
                self.drawString(_MARGIN + 6, 11 * mm, footer)
                text = words.PAGE.worded(language).format(page=number, pages=len(self._pages))
                self.drawRightString(A4[0] - _MARGIN - 6, 11 * mm, text)
                super().showPage()
            super().save()

    return Numbered


def _table(rows: Sequence[Sequence[Flowable | list[Paragraph]]], widths: Sequence[float]) -> Table:
    return Table([list(row) for row in rows], colWidths=list(widths), repeatRows=1, style=_ROWS)


def _safe(text: str) -> str:
    return escape(str(text))


def _text(text: str) -> Paragraph:
    return Paragraph(_safe(text), _TEXT)


def _small(text: str) -> Paragraph:
    return Paragraph(_safe(text), _SMALL)


def _figure(text: str) -> Paragraph:
    return Paragraph(_safe(text), _RIGHT)


def _heading(text: str) -> Paragraph:
    return Paragraph(_safe(text), _HEADING)


def _head_cell(text: str, *, right: bool = False) -> Paragraph:
    return Paragraph(_safe(text), _HEAD_RIGHT if right else _HEAD)
