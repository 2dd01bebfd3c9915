"""`ordergate seller`: who issues the documents."""

import click

from catalog.accounts.seller import SellerProfile, read_seller, set_seller
from catalog.transaction import Transaction
from deploy.cli.output import json_option, print_json, print_table
from deploy.cli.session import By, session


@click.group()
def seller() -> None:
    """The house itself: the legal entity that issues statements and invoices."""


@seller.command()
@click.option("--legal-name", required=True)
@click.option("--address", required=True, help="The postal address; lines may be separated by line breaks.")
@click.option("--tax-id", required=True)
@click.option("--country", default="", help="Two letters of ISO 3166.")
@click.option(
    "--payment-days",
    type=click.IntRange(0, 365),
    default=30,
    show_default=True,
    help="Days after its issue on which an invoice is due, on the payer's calendar, unless others were agreed with the payer.",
)
@click.option("--payment-terms", default="", help="What else to say about paying, in words.")
@click.option("--bank", default="", help="Where to pay: bank and account.")
def profile(
    legal_name: str,
    address: str,
    tax_id: str,
    country: str,
    payment_days: int,
    payment_terms: str,
    bank: str,
) -> None:
    """Say who issues. Later documents carry it; what is issued stays as it is."""
    written = SellerProfile(legal_name, address, tax_id, country, payment_days, payment_terms, bank)

    async def work(transaction: Transaction, by: By) -> None:
        await set_seller(transaction, written, by.actor, by.now)

    session().act(work)
    click.echo(f"Documents are issued by {legal_name}; invoices are due within {payment_days} days.")


@seller.command()
@json_option
def show(as_json: bool) -> None:
    """Who issues now."""
    found = session().read(read_seller)
    if as_json:
        print_json(found)
        return
    if found is None:
        click.echo("Nobody has said who issues. Say it with `ordergate seller profile`.")
        return
    print_table(
        ("legal name", "address", "tax id", "country", "payment days", "payment terms", "bank"),
        [
            (
                found.legal_name,
                found.address.replace("\n", ", "),
                found.tax_id,
                found.country,
                found.payment_days,
                found.payment_terms,
                found.bank,
            )
        ],
    )
