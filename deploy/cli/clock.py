"""`ordergate clock …`: the sandbox's own time."""

from datetime import date

import click

from catalog.accounts.account import find_account
from catalog.accounts.test_clock import advance_test_clock
from catalog.transaction import Transaction
from catalog.vocabulary.clock import from_ns, rfc3339
from catalog.vocabulary.period import day_starts_ns
from deploy.cli.day import DAY
from deploy.cli.session import By, session


@click.group()
def clock() -> None:
    """The clock of an account's test environment. Live calls and live books have the real one."""


@clock.command()
@click.argument("account")
@click.option("--to", type=DAY, required=True, help="A day; it begins on the account's own calendar.")
def advance(account: str, to: date) -> None:
    """Put an account's test clock forward: its test calls occur then, and its test months before then can be closed.

    The clock then stands still until it is advanced again. It never goes back, and is at most 731 days ahead of the time of day.
    """

    async def work(transaction: Transaction, by: By) -> str:
        found = await find_account(transaction, account)
        moment = from_ns(day_starts_ns(to, found.timezone))
        await advance_test_clock(transaction, found, moment, actor=by.actor, now=by.now)
        return rfc3339(moment)

    stands_at = session().act(work)
    click.echo(
        f"{account}: in the test environment it is {stands_at} now. Close its month with `ordergate close YYYY-MM`."
    )
