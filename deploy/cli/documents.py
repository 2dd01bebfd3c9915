"""`ordergate statement` and `ordergate credit-note`."""

import sys
from pathlib import Path
from typing import Literal

import click

from billing.invoice.month import Month
from billing.view import Document, credit_note_document, document, printed, to_csv, to_json
from catalog.accounts.account import find_account
from catalog.transaction import Transaction
from catalog.vocabulary.ids import ENVIRONMENTS, Environment
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Language
from catalog.vocabulary.spreadsheet import csv_file
from deploy.cli.period import PERIOD
from deploy.cli.session import session

Form = Literal["json", "csv", "xlsx", "pdf"]


_form = click.option(
    "--format",
    "form",
    type=click.Choice(["json", "csv", "xlsx", "pdf"]),
    default="json",
    show_default=True,
)
_language = click.option(
    "--language",
    type=click.Choice(["en", "zh-CN"]),
    default="en",
    show_default=True,
    help="Of the words on xlsx and pdf.",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
_output = click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file instead of stdout."
)


@click.command()
@click.argument("account")
@click.argument("period", type=PERIOD)
@_form
@_language
@click.option("--env", "environment", type=click.Choice(ENVIRONMENTS), default="live", show_default=True)
@_as_json
@_output
def statement(
    account: str,
    period: Period,
    form: Form,
    language: Language,
    environment: Environment,
    as_json: bool,
    output: Path | None,
) -> None:
    """The statement or invoice of a month. A draft until it is closed; ACCOUNT is a name or an id.

    As JSON it names the credit notes that correct it: `ordergate credit-note NUMBER` prints them.
    """

    async def work(transaction: Transaction) -> Document:
        payer = await find_account(transaction, account)
        return await document(transaction, Month(payer.id, environment, period))

    _write(session().read(work), "json" if as_json else form, language, output)


@click.command("credit-note")
@click.argument("number")
@_form
@_language
@_as_json
@_output
def credit_note(number: str, form: Form, language: Language, as_json: bool, output: Path | None) -> None:
    """A credit note by its NUMBER, such as CN-2026-000001. It corrects an issued document."""

    async def work(transaction: Transaction) -> Document:
        return await credit_note_document(transaction, number)

    _write(session().read(work), "json" if as_json else form, language, output)


def _write(found: Document, form: Form, language: Language, output: Path | None) -> None:
    content = _content(found, form, language, is_file=output is not None)
    if output is not None:
        output.write_bytes(content)
    else:
        sys.stdout.buffer.write(content)


def _content(found: Document, form: Form, language: Language, *, is_file: bool) -> bytes:
    match form:
        case "json":
            return to_json(found)
        case "csv":
            # Programs read pipes, and a byte order mark would be part of their first column's name.
            return csv_file(to_csv(found)) if is_file else to_csv(found).encode()
        case "xlsx" | "pdf":
            return printed(found, form, language)
