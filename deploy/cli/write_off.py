"""`ordergate payments write-off`: a rest of an invoice that is no longer asked for."""

from datetime import datetime
from decimal import Decimal

import asyncpg
import click

from billing.payment.write_off import WriteOff, take_back, write_off
from billing.transaction import all_accounts
from catalog.vocabulary.money import plain
from deploy.cli.decimals import DECIMAL
from deploy.cli.output import json_option, print_json
from deploy.cli.session import session
from deploy.operator import local_operator


@click.command("write-off", context_settings={"ignore_unknown_options": True})
@click.argument("document")
@click.argument("amount", type=DECIMAL, required=False)
@click.option("--reason", required=True, help="Why, such as bank fees; the same again changes nothing.")
@click.option(
    "--take-back",
    "taking_back",
    is_flag=True,
    help="The other way round: what was written off is owed again.",
)
@json_option
def write_off_(document: str, amount: Decimal | None, reason: str, taking_back: bool, as_json: bool) -> None:
    """Write off AMOUNT of what is owed for DOCUMENT (an invoice's number or id), or all that is left of it.

    It is an expense of the house, in the ledger's `written_off`. The invoice and its tax stay as they were issued, and no
    credit note is made. More than is owed is refused.
    """
    current = session()
    change = take_back if taking_back else write_off

    async def work(pool: asyncpg.Pool) -> WriteOff:
        now: datetime = current.now
        async with all_accounts(pool) as connection:
            return await change(connection, document, amount, reason=reason, actor=local_operator(), now=now)

    made = current.keep_books(work)
    if as_json:
        print_json(made)
        return
    what = "is no longer written off" if taking_back else "is written off"
    again = "" if made.is_new else " (recorded before; nothing has changed)"
    standing, currency = made.standing, made.amount.currency
    click.echo(
        f"{made.amount.amount} {currency} of {made.number} {what}{again}: "
        f"{plain(standing.owed)} {currency} are owed, it is {standing.state}."
    )
    if made.is_new and made.handed_over and not taking_back:
        click.echo("The payment provider asks for it as well: mark it there as paid elsewhere.", err=True)
