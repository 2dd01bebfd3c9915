"""`ordergate usage`."""

from pathlib import Path

import click

from billing.view import UsageView, usage_csv
from billing.view import usage as usage_of
from catalog.accounts.account import find_account
from catalog.accounts.test_clock import books_time
from catalog.transaction import Transaction
from catalog.vocabulary.ids import ENVIRONMENTS, Environment
from catalog.vocabulary.period import Period
from catalog.vocabulary.spreadsheet import csv_file
from deploy.cli.output import json_option, print_json, print_table
from deploy.cli.period import PERIOD
from deploy.cli.session import session


@click.command()
@click.argument("account")
@click.option("--period", type=PERIOD, help="A month such as 2026-11; the running one by default.")
@click.option("--env", "environment", type=click.Choice(ENVIRONMENTS), default="live", show_default=True)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="A CSV file for spreadsheets."
)
@json_option
def usage(
    account: str, period: Period | None, environment: Environment, output: Path | None, as_json: bool
) -> None:
    """Calls, units and money of a month so far. ACCOUNT is a name or an id.

    Where a contract, a tax or a correction adds to what the calls cost, `bill` is what the month's statement comes to.
    """
    current = session()

    async def work(transaction: Transaction) -> UsageView:
        payer = await find_account(transaction, account)
        now = await books_time(transaction, payer.id, environment, current.now)
        running = Period.of(now, payer.timezone)
        if period is not None and period > running:
            raise click.ClickException(f"{period} has not begun for {payer.name}: it is {running} there.")
        return await usage_of(transaction, payer.id, environment, period or running)

    view = current.read(work)
    if output is not None:
        output.write_bytes(csv_file(usage_csv(view)))
        return
    if as_json:
        print_json(view)
        return
    rows = [
        (one.operation, one.calls, one.units, one.amount.amount)
        for service in view.services
        for one in service.operations
    ]
    besides = [
        (f"{one.kind.replace('_', ' ')} {one.service}".strip(), "", "", one.amount.amount)
        for one in view.bill.besides
    ]
    print_table(
        (f"{view.environment} {view.period}", "calls", "units", view.amount.currency),
        [
            *rows,
            ("usage alone" if besides else "total", view.calls, view.units, view.amount.amount),
            *besides,
            *([("bill", "", "", view.bill.amount.amount)] if besides else ()),
        ],
        right=("calls", "units", view.amount.currency),
    )
