"""`ordergate dispute …`: what payers contest, from the provider's side."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from functools import partial

import asyncpg
import click

from billing.invoice.dispute import accept_dispute, reject_dispute
from billing.invoice.disputed import Dispute, disputes
from billing.transaction import Connection, all_accounts
from catalog.transaction import Transaction
from deploy.cli.decimals import DECIMAL
from deploy.cli.output import json_option, print_json, print_table
from deploy.cli.session import session
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
