"""`ordergate close` and `ordergate statement`."""

import sys
from pathlib import Path

import asyncpg
import click

from billing.desk import CloseReport
from billing.desk import close as close_month
from billing.invoice.month import Month
from billing.view import Document, document, to_csv, to_json
from catalog.accounts.account import find_account, list_accounts
from catalog.transaction import Transaction
from catalog.vocabulary.clock import rfc3339
from catalog.vocabulary.ids import ENVIRONMENTS, Environment
from catalog.vocabulary.money import plain
from catalog.vocabulary.period import Period
from deploy.cli.flow import catch_up
from deploy.cli.output import json_option, print_json, print_table, working
from deploy.cli.period import PERIOD
from deploy.cli.session import Session, session


@click.command()
@click.argument("period", type=PERIOD)
@json_option
def close(period: Period, as_json: bool) -> None:
    """Close a month. Final rating and a document for every account; doing it again changes nothing."""
    current = session()

    async def work(pool: asyncpg.Pool) -> CloseReport:
        await catch_up(current, pool)
        return await close_month(pool, period, current.clock)

    with working(f"closing {period}"):
        report = current.keep_books(work)
    if as_json:
        print_json(report)
    else:
        _print_close(current, report)
    if report.not_ended and not report.issued and not report.already_issued and not report.left_draft:
        sys.exit(1)


def _print_close(current: Session, report: CloseReport) -> None:
    names = {account.id: account.name for account in current.read(list_accounts)}
    if report.issued:
        print_table(
            ("number", "account", "environment", "month", "total", ""),
            [
                (
                    one.number,
                    names[one.account_id],
                    one.environment,
                    one.period,
                    plain(one.total),
                    one.currency,
                )
                for one in report.issued
            ],
            right=("total",),
        )
    for left in report.left_draft:
        why = f"missing: {', '.join(left.missing)}" if left.missing else left.reason
        click.echo(
            f"{names[left.account_id]}: the {left.environment} document of {left.period} stays a draft; {why}"
        )
    for open_ in sorted(report.not_ended, key=lambda one: names[one.account_id]):
        click.echo(
            f"{names[open_.account_id]}: {report.period} ends on {rfc3339(open_.ends_at)} ({open_.timezone})"
        )
    click.echo(
        f"{report.period}: issued {len(report.issued)}, issued before {report.already_issued}, "
        f"left as draft {len(report.left_draft)}, not over yet {len(report.not_ended)}"
    )


@click.command()
@click.argument("account")
@click.argument("period", type=PERIOD)
@click.option("--format", "form", type=click.Choice(["json", "csv"]), default="json", show_default=True)
@click.option("--env", "environment", type=click.Choice(ENVIRONMENTS), default="live", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="A file instead of stdout.")
def statement(
    account: str,
    period: Period,
    form: str,
    environment: Environment,
    as_json: bool,
    output: Path | None,
) -> None:
    """The statement or invoice of a month. A draft until it is closed; ACCOUNT is a name or an id."""

    async def work(transaction: Transaction) -> Document:
        payer = await find_account(transaction, account)
        return await document(transaction, Month(payer.id, environment, period))

    found = session().read(work)
    content = to_json(found) if as_json or form == "json" else to_csv(found).encode()
    if output is None:
        sys.stdout.buffer.write(content)
    else:
        output.write_bytes(content)
