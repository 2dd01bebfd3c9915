"""`ordergate dispute …`: what payers contest, taken down and decided from the provider's side."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from functools import partial

import asyncpg
import click

from billing.invoice.contested import Contested, find_contested
from billing.invoice.dispute import accept_dispute, open_dispute, reject_dispute
from billing.invoice.disputed import Dispute, disputes
from billing.invoice.document import Document, document
from billing.invoice.month import Month
from billing.transaction import Connection, all_accounts
from catalog.accounts.account import find_account
from catalog.transaction import Transaction
from catalog.vocabulary.ids import ENVIRONMENTS, Environment
from catalog.vocabulary.period import Period
from deploy.cli.decimals import DECIMAL
from deploy.cli.output import json_option, print_json, print_table
from deploy.cli.period import PERIOD
from deploy.cli.session import By, session
from deploy.operator import local_operator

_LISTED = 1000
_Ruling = Callable[[Connection, str, str, str, datetime], Awaitable[Dispute]]


@click.group()
def dispute() -> None:
    """What payers contest of their documents."""


@dispute.command("list")
@click.option("--all", "decided_too", is_flag=True, help="Decided ones too.")
@json_option
def list_(decided_too: bool, as_json: bool) -> None:
    """Open disputes, oldest first."""

    async def work(transaction: Transaction) -> tuple[Dispute, ...]:
        return (await disputes(transaction, None, _LISTED, open_only=not decided_too)).data

    _show(session().read(work), as_json)


@dispute.command("open")
@click.argument("account")
@click.argument("period", type=PERIOD)
@click.argument("amount", type=DECIMAL)
@click.option("--line", type=int, help="The line of the document, by its position on the statement.")
@click.option("--call", help="A call that is charged on it, by its id.")
@click.option("--reason", required=True, help="Why, in the payer's words; without personal data.")
@click.option(
    "--again", is_flag=True, help="Take a line up again whose dispute was rejected: there is new evidence."
)
@click.option("--env", "environment", type=click.Choice(ENVIRONMENTS), default="live", show_default=True)
@json_option
def open_(
    account: str,
    period: Period,
    amount: Decimal,
    line: int | None,
    call: str | None,
    reason: str,
    again: bool,
    environment: Environment,
    as_json: bool,
) -> None:
    """Contest AMOUNT of a line of ACCOUNT's document of PERIOD, or of a call on it, for a payer who called or wrote.

    What would come off the document is held until the dispute is accepted or rejected. Payers do the same themselves
    with POST /api/invoices/PERIOD/disputes.
    """
    if (line is None) == (call is None):
        raise click.UsageError("Name what is contested: --line or --call, and not both.")
    current = session()

    async def find(transaction: Transaction) -> tuple[Document, Contested]:
        payer = await find_account(transaction, account)
        found = await document(transaction, Month(payer.id, environment, period))
        wanted = await find_contested(transaction, found, line=line, call=call, amount=amount, reason=reason)
        return found, wanted

    found, contested = current.read(find)

    async def work(transaction: Transaction, by: By) -> Dispute:
        return await open_dispute(transaction, found, contested, by.actor, by.now, again=again)

    _show((current.act(work),), as_json)


@dispute.command()
@click.argument("dispute_id")
@click.option("--reason", required=True, help="Why; the payer reads it.")
@click.option(
    "--amount", type=DECIMAL, help="So much of the line and no more; by default all that is disputed."
)
@json_option
def accept(dispute_id: str, reason: str, amount: Decimal | None, as_json: bool) -> None:
    """Agree: what the bill is less by, its discounts, minimum and taxes with it, is credited with a credit note."""
    _show((_rule(partial(accept_dispute, amount=amount), dispute_id, reason),), as_json)


@dispute.command()
@click.argument("dispute_id")
@click.option("--reason", required=True, help="Why; the payer reads it.")
@json_option
def reject(dispute_id: str, reason: str, as_json: bool) -> None:
    """Do not agree: what is held is owed again."""
    _show((_rule(reject_dispute, dispute_id, reason),), as_json)


def _rule(ruling: _Ruling, dispute_id: str, reason: str) -> Dispute:
    current = session()

    async def work(pool: asyncpg.Pool) -> Dispute:
        # A credit note is billing's to issue, so this is done in its role.
        async with all_accounts(pool) as connection:
            return await ruling(connection, dispute_id, reason, local_operator(), current.now)

    return current.keep_books(work)


def _show(found: tuple[Dispute, ...], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    columns = (
        "dispute",
        "account",
        "month",
        "line",
        "amount",
        "held",
        "state",
        "reason",
        "ruling",
        "credited",
        "credit note",
    )
    print_table(
        columns,
        [
            (
                one.id,
                one.account_id,
                one.period,
                one.line,
                f"{one.amount.amount} {one.amount.currency}",
                one.held and one.held.amount,
                one.state,
                one.reason,
                one.ruling,
                one.credited and one.credited.amount,
                one.credit_note,
            )
            for one in found
        ],
        right=("amount", "held", "credited"),
    )
    for one in found:
        if one.notice:
            click.echo(f"{one.id}: {one.notice}")
