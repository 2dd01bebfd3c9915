"""`ordergate payments …`: from whom a provider collects, and what waits for a person."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import asyncpg
import click
import msgspec

from billing.desk import collect_from, release, stop_collecting
from billing.transaction import Connection, all_accounts
from catalog.accounts.account import Account, find_account
from catalog.registry import audit
from catalog.transaction import Transaction
from deploy.cli.output import json_option, print_json, print_table
from deploy.cli.session import Session, session
from deploy.operator import local_operator

T = TypeVar("T")


class PaymentTask(msgspec.Struct, frozen=True):
    """A document on its way to the provider, there, or held for a person under a reason."""

    document_id: str
    account: str
    kind: str
    state: str
    reason: str
    attempts: int
    due_at: datetime


@click.group()
def payments() -> None:
    """Collect external invoices through the payment provider."""


@payments.command()
@click.argument("account")
@click.option("--days", default=30, show_default=True, help="Days from issue until an invoice is due.")
def collect(account: str, days: int) -> None:
    """Hand over every live invoice of an external ACCOUNT when it is issued, from now on."""

    async def work(connection: Connection, payer: Account, now: datetime) -> None:
        await collect_from(connection, payer.id, now, terms_days=days)

    payer = _change(session(), account, "payments.collect", {"terms_days": days}, work)
    click.echo(f"{payer.name}: invoices are handed over when they are issued, and due after {days} days")


@payments.command()
@click.argument("account")
def stop(account: str) -> None:
    """Hand nothing more of ACCOUNT over; what was handed over already is still collected."""

    async def work(connection: Connection, payer: Account, now: datetime) -> None:
        await stop_collecting(connection, payer.id, now)

    payer = _change(session(), account, "payments.stop", {}, work)
    click.echo(f"{payer.name}: nothing more is handed over")


@payments.command("list")
@click.option("--all", "everything", is_flag=True, help="Also what is done.")
@json_option
def list_(everything: bool, as_json: bool) -> None:
    """What is on its way to the provider, and what is held and why."""

    async def work(transaction: Transaction) -> list[PaymentTask]:
        rows = await transaction.fetch(
            "SELECT document_id, account.name AS account, task.kind, state, reason, attempts, due_at "
            "FROM billing.payment_task AS task JOIN catalog.account ON account.id = account_id "
            "WHERE $1 OR state <> 'done' ORDER BY due_at, document_id",
            everything,
        )
        return [PaymentTask(**row) for row in rows]

    tasks = session().read(work)
    if as_json:
        print_json(tasks)
    elif not tasks:
        click.echo("Nothing waits. `--all` lists what was handed over.")
    else:
        print_table(
            ("document", "account", "kind", "state", "attempts", "due", "reason"),
            [
                (one.document_id, one.account, one.kind, one.state, one.attempts, one.due_at, one.reason)
                for one in tasks
            ],
            right=("attempts",),
        )


@payments.command("release")
@click.argument("document")
def release_(document: str) -> None:
    """Try a held DOCUMENT again, with new keys, after a look at what the provider already has of it."""
    current = session()

    async def work(pool: asyncpg.Pool) -> None:
        async with all_accounts(pool) as connection:
            await release(connection, document, current.now)
            await audit.append(
                connection, local_operator(), "payments.release", f"document/{document}", {}, current.now
            )

    current.keep_books(work)
    click.echo(f"{document} is tried again")


def _change(
    current: Session,
    account: str,
    action: str,
    detail: dict[str, object],
    change: Callable[[Connection, Account, datetime], Awaitable[None]],
) -> Account:
    async def work(pool: asyncpg.Pool) -> Account:
        async with all_accounts(pool) as connection:
            payer = await find_account(connection, account)
            await change(connection, payer, current.now)
            await audit.append(
                connection, local_operator(), action, f"account/{payer.id}", detail, current.now
            )
        return payer

    return current.keep_books(work)
