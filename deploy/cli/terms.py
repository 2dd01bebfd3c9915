"""`ordergate account terms …` and `ordergate tax …`: what a bill has beside its prices."""

from datetime import date
from decimal import Decimal

import click

from catalog.accounts.account import find_account
from catalog.accounts.contract_terms import ContractTerms, list_terms, set_terms
from catalog.accounts.tax import TaxRate, list_tax_rates, set_tax_rate
from catalog.transaction import Transaction
from catalog.vocabulary.money import plain
from deploy.cli.day import DAY
from deploy.cli.decimals import DECIMAL
from deploy.cli.output import json_option, print_json, print_table
from deploy.cli.session import By, session

_ZERO = Decimal(0)
_FROM = click.option(
    "--from", "starts_on", type=DAY, required=True, help="A month, or the day in its first month."
)
_SERVICE = click.option("--service", default="", help="On this service alone instead of the whole bill.")


@click.group()
def terms() -> None:
    """What an account agreed to: fee, discount, minimum, commitment."""


@terms.command(name="set")
@click.argument("account")
@_FROM
@_SERVICE
@click.option("--access-fee", type=DECIMAL, default=_ZERO, help="Charged every month.")
@click.option("--discount", type=DECIMAL, default=_ZERO, help="Percent off the sum, the fee included.")
@click.option("--minimum", type=DECIMAL, default=_ZERO, help="What a month comes to at least.")
@click.option(
    "--committed-spend", type=DECIMAL, default=_ZERO, help="What --committed-months come to at least."
)
@click.option("--committed-months", type=int, default=0)
def set_(
    account: str,
    starts_on: date,
    service: str,
    access_fee: Decimal,
    discount: Decimal,
    minimum: Decimal,
    committed_spend: Decimal,
    committed_months: int,
) -> None:
    """Agree on terms from a month on; what was issued stays as it is."""
    agreed = ContractTerms(
        "", service, starts_on, access_fee, discount, minimum, committed_spend, committed_months
    )
    _write(account, agreed)
    click.echo(f"{account}: these terms are in force from {starts_on} on.")


@terms.command()
@click.argument("account")
@_FROM
@_SERVICE
def end(account: str, starts_on: date, service: str) -> None:
    """End an account's terms before a month; a commitment that still runs ends with them."""
    _write(account, ContractTerms("", service, starts_on))
    click.echo(f"{account}: no terms from {starts_on} on.")


def _write(account: str, agreed: ContractTerms) -> None:
    async def work(transaction: Transaction, by: By) -> None:
        found = await find_account(transaction, account)
        await set_terms(transaction, found, agreed, actor=by.actor, now=by.now)

    session().act(work)


@terms.command(name="list")
@click.argument("account")
@json_option
def list_(account: str, as_json: bool) -> None:
    """An account's terms in the order of their months."""

    async def work(transaction: Transaction) -> tuple[ContractTerms, ...]:
        return await list_terms(transaction, await find_account(transaction, account))

    found = session().read(work)
    if as_json:
        print_json(found)
        return
    print_table(
        ("from", "on", "access fee", "discount %", "minimum", "committed", "months"),
        [
            (
                one.starts_on,
                one.service or "the whole bill",
                plain(one.access_fee),
                plain(one.discount_pct),
                plain(one.minimum),
                plain(one.committed_spend),
                one.committed_months,
            )
            for one in found
        ],
        right=("access fee", "discount %", "minimum", "committed", "months"),
    )


@click.group()
def tax() -> None:
    """Tax rates by region; an external account's region is the country of its billing profile."""


@tax.command(name="set")
@click.argument("region")
@click.argument("rate", type=DECIMAL)
@_FROM
@_SERVICE
@click.option("--name", default="VAT", show_default=True, help="As documents call it.")
def set_rate(region: str, rate: Decimal, starts_on: date, service: str, name: str) -> None:
    """Set a region's rate in percent from a month on, such as `CN 6`; 0 ends it."""

    async def work(transaction: Transaction, by: By) -> None:
        written = TaxRate(region, service, starts_on, name, rate)
        await set_tax_rate(transaction, written, actor=by.actor, now=by.now)

    session().act(work)
    click.echo(f"{region} {name}: {plain(rate)} % from {starts_on} on.")


@tax.command(name="list")
@json_option
def list_rates(as_json: bool) -> None:
    """All rates in the order of their months."""
    found = session().read(list_tax_rates)
    if as_json:
        print_json(found)
        return
    print_table(
        ("from", "region", "name", "service", "rate %"),
        [
            (one.starts_on, one.region, one.name, one.service or "all others", plain(one.rate_pct))
            for one in found
        ],
        right=("rate %",),
    )
