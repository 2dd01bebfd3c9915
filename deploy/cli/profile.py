"""`ordergate account profile`: who invoices are addressed to, and what is missing for one."""

from collections.abc import Iterable

import click
import msgspec

from billing.invoice.issue import missing_for_issue, missing_profile
from billing.invoice.month import payer_of
from catalog.accounts.account import find_account
from catalog.accounts.billing_profile import BillingProfile, set_billing_profile
from catalog.accounts.seller import named_seller
from catalog.transaction import Transaction
from deploy.cli.output import json_option, print_json, print_table
from deploy.cli.session import By, session

_OPTIONS = {"legal_name": "--legal-name", "address": "--address", "tax_id": "--tax-id"}


def in_words(missing: Iterable[str]) -> str:
    """The fields of a profile as people read them."""
    return ", ".join(field.replace("_", " ") for field in missing)


def remedy(account: str) -> str:
    """The command that says who invoices to an account are addressed to."""
    return f"`ordergate account profile {account} {' '.join(f'{option} …' for option in _OPTIONS.values())}`"


class ProfileView(msgspec.Struct, frozen=True):
    """Who an account's invoices are addressed to. `missing` are the fields without which none is issued; `notices` say what
    else to know of its documents."""

    account: str
    legal_name: str
    address: str
    tax_id: str
    country: str
    missing: tuple[str, ...]
    notices: tuple[str, ...]


@click.command()
@click.argument("account")
@click.option("--legal-name")
@click.option("--address", help="The postal address; lines may be separated by line breaks.")
@click.option("--tax-id")
@click.option(
    "--country",
    help="Two letters of ISO 3166: whose tax is added to the bill, if there is a rate.",
)
@json_option
def profile(
    account: str,
    legal_name: str | None,
    address: str | None,
    tax_id: str | None,
    country: str | None,
    as_json: bool,
) -> None:
    """Say who invoices are addressed to. An external account is not invoiced without it.

    Without options: what was said, and what is missing for an invoice.
    """
    if legal_name is not None and address is not None and tax_id is not None:
        _write(account, BillingProfile(legal_name, address, tax_id, country or ""))
        if not as_json:
            click.echo(f"Invoices to {account} are addressed to {legal_name}.")
            return
    elif (legal_name, address, tax_id, country) != (None,) * 4:
        given = zip(_OPTIONS.values(), (legal_name, address, tax_id), strict=True)
        missing = " and ".join(option for option, value in given if value is None)
        raise click.UsageError(f"A profile is replaced as a whole: give {missing} too.")
    found = session().read(lambda transaction: _view(transaction, account))
    if as_json:
        print_json(found)
    else:
        _tell(found)


def _write(account: str, written: BillingProfile) -> None:
    async def work(transaction: Transaction, by: By) -> None:
        found = await find_account(transaction, account)
        await set_billing_profile(transaction, found, written, by.actor, by.now)

    session().act(work)


async def _view(transaction: Transaction, account: str) -> ProfileView:
    payer = await payer_of(transaction, (await find_account(transaction, account)).id)
    said = {field: str(payer.profile.get(field, "")) for field in (*_OPTIONS, "country")}
    notices = []
    if payer.kind != "external":
        notices.append("An account of the group gets statements, which need no profile.")
    elif not said["country"]:
        notices.append("Without a country no tax is added to its bills.")
    seller = await named_seller(transaction)
    if seller is None:
        notices.append("Nobody has said who issues: `ordergate seller profile`.")
    elif "seller" in missing_for_issue(payer, "live", seller):
        notices.append("The seller is the demo's, so it is not invoiced yet: `ordergate seller profile`.")
    return ProfileView(payer.name, **said, missing=missing_profile(payer), notices=tuple(notices))


def _tell(found: ProfileView) -> None:
    print_table(
        ("", found.account),
        [
            (field.replace("_", " "), getattr(found, field).replace("\n", ", ") or "-")
            for field in (*_OPTIONS, "country")
        ],
    )
    if found.missing:
        click.echo(f"Missing for an invoice: {in_words(found.missing)}.")
        click.echo(f"Say it with {remedy(found.account)}.")
    else:
        click.echo("Nothing is missing for its documents.")
    for notice in found.notices:
        click.echo(notice)
