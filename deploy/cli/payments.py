"""`ordergate payments …`: from whom a provider collects, on which terms accounts pay, and what waits for a person."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Literal

import asyncpg
import click
import msgspec

from billing.desk import collect_from, release, stop_collecting
from billing.invoice.due import payment_terms
from billing.payment.account import REMINDER_DAYS, Terms, agree, terms_of
from billing.transaction import Connection, all_accounts
from catalog.accounts.account import Account, find_account
from catalog.registry import audit
from catalog.transaction import Transaction
from deploy.cli.output import json_option, print_json, print_table
from deploy.cli.payments_received import owed, record, refund, show
from deploy.cli.session import session
from deploy.cli.write_off import write_off_
from deploy.operator import local_operator


class PaymentTask(msgspec.Struct, frozen=True):
    """A document on its way to the provider, there, or held for a person under a reason."""

    document_id: str
    account: str
    kind: str
    state: str
    reason: str
    attempts: int
    due_at: datetime


class _Days(click.ParamType["int | Literal['seller']"]):
    """A number of days, or `seller` for those that the seller says of all."""

    name = "DAYS|seller"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | Literal["seller"]:
        if value == "seller":
            return "seller"
        return click.INT.convert(value, param, ctx)


class _Reminders(click.ParamType[tuple[int, ...]]):
    """Numbers of days, such as `1,14,28`, or `none`."""

    name = "DAYS,...|none"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if value == "none":
            return ()
        try:
            return tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail("write numbers of days such as 1,14,28, or none", param, ctx)


class PaymentTerms(msgspec.Struct, frozen=True):
    """How an account pays: within how many days its next invoices are due (None where neither it nor a seller says so),
    whether those were agreed with it, on which days overdue it is reminded, and whether a provider collects."""

    account: str
    terms_days: int | None
    agreed: bool
    reminder_days: tuple[int, ...]
    collected: bool

    def __str__(self) -> str:
        """One sentence."""
        due = "without a due day" if self.terms_days is None else f"due after {self.terms_days} days"
        days = ", ".join(str(day) for day in self.reminder_days)
        reminded = f"reminded {days} days after that" if days else "never reminded of"
        how = "handed over when they are issued" if self.collected else "paid by transfer"
        return f"{self.account}: invoices are {how}, {due}, and {reminded}"


@click.group()
def payments() -> None:
    """What invoices are paid: through the payment provider or by transfer."""


for _command in (record, refund, show, owed, write_off_):
    payments.add_command(_command)


@payments.command()
@click.argument("account")
@click.option(
    "--days",
    "terms_days",
    type=int,
    help="Days from issue until an invoice is due; otherwise as agreed, or as the seller says.",
)
def collect(account: str, terms_days: int | None) -> None:
    """Hand over every live invoice of an external ACCOUNT when it is issued, from now on."""

    async def work(connection: Connection, payer: Account, now: datetime) -> Terms:
        return await collect_from(connection, payer.id, now, terms_days=terms_days)

    click.echo(_change(account, "payments.collect", work))


@payments.command()
@click.argument("account")
@click.option(
    "--days",
    "terms_days",
    type=_Days(),
    help="Days from issue until its next invoices are due; `seller`: as the seller says of all.",
)
@click.option(
    "--reminders",
    "reminder_days",
    type=_Reminders(),
    help="Days after the due day on which each reminder falls due; without any said yet, 1,14,28.",
)
@json_option
def terms(
    account: str,
    terms_days: int | Literal["seller"] | None,
    reminder_days: tuple[int, ...] | None,
    as_json: bool,
) -> None:
    """Agree with an external ACCOUNT when its invoices are due and when it is reminded. Without options: show it.

    Issued invoices keep their due day. An account of which nothing was said pays within the seller's days and is never reminded.
    """

    async def look(transaction: Transaction) -> PaymentTerms:
        payer = await find_account(transaction, account)
        return await _shown(transaction, payer, await terms_of(transaction, payer.id))

    async def work(connection: Connection, payer: Account, now: datetime) -> Terms:
        before = await terms_of(connection, payer.id)
        days = before.terms_days if terms_days is None and before is not None else terms_days
        reminders = REMINDER_DAYS if before is None else before.reminder_days
        return await agree(
            connection,
            payer.id,
            now,
            terms_days=None if days == "seller" else days,
            reminder_days=reminders if reminder_days is None else reminder_days,
        )

    looking = terms_days is None and reminder_days is None
    found = session().read(look) if looking else _change(account, "payments.terms", work)
    if as_json:
        print_json(found)
    else:
        click.echo(found)


@payments.command()
@click.argument("account")
def stop(account: str) -> None:
    """Hand nothing more of ACCOUNT over; what was handed over already is still collected."""

    async def work(connection: Connection, payer: Account, now: datetime) -> Terms | None:
        await stop_collecting(connection, payer.id, now)
        return await terms_of(connection, payer.id)

    _change(account, "payments.stop", work)
    click.echo(f"{account}: nothing more is handed over")


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
    account: str,
    action: str,
    change: Callable[[Connection, Account, datetime], Awaitable[Terms | None]],
) -> PaymentTerms:
    current = session()

    async def work(pool: asyncpg.Pool) -> PaymentTerms:
        async with all_accounts(pool) as connection:
            payer = await find_account(connection, account)
            agreed = await change(connection, payer, current.now)
            detail = {} if agreed is None else msgspec.to_builtins(agreed)
            await audit.append(
                connection, local_operator(), action, f"account/{payer.id}", detail, current.now
            )
            return await _shown(connection, payer, agreed)

    return current.keep_books(work)


async def _shown(connection: Connection, payer: Account, agreed: Terms | None) -> PaymentTerms:
    return PaymentTerms(
        payer.name,
        (await payment_terms(connection, payer.id)).days,
        agreed is not None and agreed.terms_days is not None,
        () if agreed is None else agreed.reminder_days,
        agreed is not None and agreed.collected,
    )
