"""`ordergate approve`."""

import asyncpg
import click

from billing.desk import IssuedDocument, issue_held
from billing.view import Month
from catalog.accounts.account import find_account
from catalog.transaction import Transaction
from catalog.vocabulary.ids import ENVIRONMENTS, Environment
from catalog.vocabulary.money import plain
from catalog.vocabulary.period import Period
from deploy.cli.output import json_option, print_json
from deploy.cli.period import PERIOD
from deploy.cli.session import session
from deploy.operator import local_operator


@click.command()
@click.argument("account")
@click.argument("period", type=PERIOD)
@click.option("--env", "environment", type=click.Choice(ENVIRONMENTS), default="live", show_default=True)
@json_option
def approve(account: str, period: Period, environment: Environment, as_json: bool) -> None:
    """Issue a document that a close held for review, such as one far above what the account is used to.

    Look at it first: `ordergate statement ACCOUNT PERIOD`.
    """
    current = session()

    async def find(transaction: Transaction) -> str:
        return (await find_account(transaction, account)).id

    month = Month(current.read(find), environment, period)

    async def work(pool: asyncpg.Pool) -> IssuedDocument:
        return await issue_held(pool, month, actor=local_operator(), clock=current.clock)

    issued = current.keep_books(work)
    if as_json:
        print_json(issued)
        return
    click.echo(f"{issued.number}: {plain(issued.total)} {issued.currency}")
