"""`ordergate payments record`, `refund`, `show` and `owed`: money that moves by bank, and what is open."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime
from decimal import Decimal

import asyncpg
import click

from billing.payment.bank import Recorded, record_payment, record_refund
from billing.payment.owed import OpenInvoice, open_invoices
from billing.payment.shown import InvoiceMoney, invoice_money
from billing.transaction import Connection, all_accounts
from catalog.accounts.account import find_account
from catalog.transaction import Transaction
from catalog.vocabulary.money import plain
from deploy.cli.day import EXACT_DAY
from deploy.cli.decimals import DECIMAL
from deploy.cli.output import json_option, print_json, print_table
from deploy.cli.session import session
from deploy.operator import local_operator

# `-5` is an amount to be refused as one, not an option.
_NEGATIVE = {"ignore_unknown_options": True}
_reference = click.option(
    "--reference",
    required=True,
    help="Under which the bank's statement has it; the same again changes nothing.",
)


@click.command(context_settings=_NEGATIVE)
@click.argument("document")
@click.argument("amount", type=DECIMAL)
@_reference
@click.option("--received-on", type=EXACT_DAY, required=True, help="The day on the bank's statement.")
@json_option
def record(document: str, amount: Decimal, reference: str, received_on: date, as_json: bool) -> None:
    """Record that AMOUNT was paid for DOCUMENT by transfer: an invoice's number or id.

    One transfer may pay several invoices: record each part under the same reference. More than is owed is refused.
    """

    async def work(connection: Connection, now: datetime) -> Recorded:
        return await record_payment(
            connection,
            document,
            amount,
            reference=reference,
            received_on=received_on,
            actor=local_operator(),
            now=now,
        )

    _tell(_keep(work), "was paid", as_json)


@click.command(context_settings=_NEGATIVE)
@click.argument("document")
@click.argument("amount", type=DECIMAL)
@_reference
@click.option("--sent-on", type=EXACT_DAY, required=True, help="The day on the bank's statement.")
@json_option
def refund(document: str, amount: Decimal, reference: str, sent_on: date, as_json: bool) -> None:
    """Record that AMOUNT was sent back for DOCUMENT by transfer, or that a recorded payment never came."""

    async def work(connection: Connection, now: datetime) -> Recorded:
        return await record_refund(
            connection,
            document,
            amount,
            reference=reference,
            sent_on=sent_on,
            actor=local_operator(),
            now=now,
        )

    _tell(_keep(work), "was sent back", as_json)


@click.command()
@click.argument("document")
@json_option
def show(document: str, as_json: bool) -> None:
    """What became of DOCUMENT's money: an invoice's number or id."""
    current = session()

    async def work(transaction: Transaction) -> InvoiceMoney:
        return await invoice_money(transaction, document, current.now)

    found = current.read(work)
    if as_json:
        print_json(found)
        return
    due = "" if found.due_on is None else f", due on {found.due_on}"
    when = f" ({_due(found.due_in_days, found.days_overdue)})" if due and found.standing.owed > 0 else ""
    click.echo(f"{found.number} of {found.account}: {found.standing.state}{due}{when}")
    standing = found.standing
    figures = (
        ("total", Decimal(found.total.amount)),
        ("credited", standing.credited),
        ("paid from credit", standing.prepaid),
        ("paid", standing.paid),
        ("refunded", standing.refunded),
        ("written off", standing.written_off),
        ("owed", standing.owed),
        ("contested", standing.contested),
    )
    print_table(
        ("", found.currency), [(name, plain(amount)) for name, amount in figures], right=(found.currency,)
    )
    happened = [
        (
            one.kind,
            one.amount.amount,
            one.amount.currency,
            one.name,
            one.moved_on,
            one.recorded_at,
            one.recorded_by,
        )
        for one in found.facts
    ]
    said = [("reminder", one.stage, "", "", None, one.announced_at, "") for one in found.reminders]
    if happened or said:
        click.echo()
        columns = ("what", "amount", "", "reference", "moved on", "recorded", "by")
        print_table(columns, [*happened, *said], right=("amount",))


@click.command()
@click.argument("account", required=False)
@click.option("--overdue", is_flag=True, help="Only what is past its due day.")
@json_option
def owed(account: str | None, overdue: bool, as_json: bool) -> None:
    """Live invoices that are open, of ACCOUNT or of all: what is due first on top, and what each was reminded of."""
    current = session()

    async def work(transaction: Transaction) -> Sequence[OpenInvoice]:
        payer = None if account is None else (await find_account(transaction, account)).id
        return await open_invoices(transaction, current.now, account_id=payer, overdue=overdue)

    found = current.read(work)
    if as_json:
        print_json(found)
    elif not found:
        click.echo("Nothing is overdue." if overdue else "Nothing is owed.")
    else:
        columns = (
            "document",
            "account",
            "total",
            "owed",
            "contested",
            "",
            "due on",
            "due",
            "paid through",
        )
        print_table(
            (*columns, "reminders", "last reminded"),
            [
                (
                    one.number,
                    one.account,
                    one.total.amount,
                    one.owed.amount,
                    one.contested.amount,
                    one.owed.currency,
                    one.due_on,
                    _due(one.due_in_days, one.days_overdue),
                    "provider" if one.handed_over else "transfer",
                    f"{one.stage} of {len(one.reminder_days)}",
                    one.reminded_at,
                )
                for one in found
            ],
            right=("total", "owed", "contested"),
        )


def _due(in_days: int | None, overdue: int | None) -> str:
    """When it is due, or how long it has been, in words; empty without a due day."""
    if in_days is not None:
        return "today" if in_days == 0 else f"in {_days(in_days)}"
    return "" if overdue is None else f"{_days(overdue)} overdue"


def _days(count: int) -> str:
    return f"{count} day{'' if count == 1 else 's'}"


def _keep(change: Callable[[Connection, datetime], Awaitable[Recorded]]) -> Recorded:
    current = session()

    async def work(pool: asyncpg.Pool) -> Recorded:
        async with all_accounts(pool) as connection:
            return await change(connection, current.now)

    return current.keep_books(work)


def _tell(made: Recorded, what: str, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    amount, standing = made.movement.amount, made.standing
    again = "" if made.is_new else " (recorded before; nothing has changed)"
    click.echo(
        f"{amount.amount} {amount.currency} {what} for {made.number}{again}: "
        f"{plain(standing.owed)} {amount.currency} are owed, it is {standing.state}."
    )
    if made.is_new and made.movement.kind == "bank_payment" and made.movement.moved_on < made.issued_on:
        click.echo(
            f"Notice: {made.movement.moved_on} is before {made.number} was issued, on {made.issued_on}: a prepayment, or money "
            "for another document? `ordergate payments refund` takes the record back.",
            err=True,
        )
    if made.is_new and made.handed_over:
        click.echo("The payment provider asks for it as well: mark it there as paid elsewhere.", err=True)
