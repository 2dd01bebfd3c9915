"""`ordergate leases …`: what of quotas, budgets and credit is promised to workers, and what is lost with a disk."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from uuid import UUID

import asyncpg
import click

from billing.lease.lost import settle_lost
from billing.lease.unsettled import UnsettledLease, unsettled_leases
from catalog.accounts.account import find_account
from catalog.transaction import Transaction
from catalog.vocabulary.money import plain
from deploy.cli.output import json_option, print_json, print_table
from deploy.cli.session import session
from deploy.operator import local_operator


@click.group()
def leases() -> None:
    """What of quotas, budgets and prepaid credit is promised to workers."""


@leases.command(name="list")
@click.argument("account", required=False)
@json_option
def list_(account: str | None, as_json: bool) -> None:
    """The leases of ACCOUNT, or of all, that are not settled yet, and what each waits for."""
    current = session()

    async def work(transaction: Transaction) -> Sequence[UnsettledLease]:
        account_id = None if account is None else (await find_account(transaction, account)).id
        return await unsettled_leases(transaction, account_id, current.now)

    found = current.read(work)
    if as_json:
        print_json(found)
        return
    figures = ("granted", "unshipped")
    print_table(
        ("lease", "account", "of", "", "granted", "since", "journal", "waits for", "unshipped"),
        [
            (
                one.id,
                one.account_id,
                one.kind,
                one.subject,
                plain(one.granted),
                one.granted_at,
                one.journal_id,
                one.waits_for,
                one.unshipped,
            )
            for one in found
        ],
        right=figures,
    )


@leases.command()
@click.argument("journal", type=click.UUID)
@click.option("--yes", is_flag=True, help="Do not ask.")
def lost(journal: UUID, yes: bool) -> None:
    """JOURNAL is lost for good, disk and mirror: close its leases with what is stored, for it will tell nothing more."""
    if not yes:
        click.confirm(
            "Calls that only this journal knew can never be billed afterwards. Is it lost for good?",
            abort=True,
        )
    current = session()

    async def work(pool: asyncpg.Pool) -> Mapping[int, Decimal]:
        return await settle_lost(
            pool, current.settings.home.journals, journal, actor=local_operator(), now=current.now
        )

    used = current.keep_books(work)
    click.echo(f"{len(used)} leases are settled with what stored calls took of them.")
