"""`ordergate grant`, `ordergate credit` and `ordergate budget …`: limits that are money."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import asyncpg
import click
import msgspec

from billing.desk import PRIORITY_DEFAULT, THRESHOLDS_PCT, Scope, end_budget, grant_credit, set_budget
from billing.transaction import all_accounts
from billing.view import Budget, Category, Grant, budget_standing, budgets_of, grants_of, spent_by_scope
from catalog.accounts.account import Account, find_account
from catalog.accounts.test_clock import books_time
from catalog.transaction import Transaction
from catalog.vocabulary.ids import ENVIRONMENTS, Environment
from catalog.vocabulary.money import plain, round_money
from catalog.vocabulary.period import Period
from deploy.cli.day import EXACT_DAY
from deploy.cli.decimals import DECIMAL
from deploy.cli.output import json_option, on_clock_of, print_json, print_table
from deploy.cli.session import By, session
from deploy.operator import local_operator

_environment = click.option(
    "--env", "environment", type=click.Choice(ENVIRONMENTS), default="live", show_default=True
)


# `-5` is an amount to be refused as one, not an option.
_NEGATIVE = {"ignore_unknown_options": True}


class BudgetState(msgspec.Struct, frozen=True):
    """A budget, and what its month has come to: `spent` as it was rated last; `counted` at list prices, of which a hard budget
    refuses what it does not cover, with what is `reserved` for calls that run. Both are null where nothing has been held to it yet."""

    budget: Budget
    period: str
    spent: Decimal
    counted: Decimal | None
    reserved: Decimal | None


@click.command(context_settings=_NEGATIVE)
@click.argument("account")
@click.argument("amount", type=DECIMAL)
@click.option(
    "--priority", type=int, default=PRIORITY_DEFAULT, show_default=True, help="The lowest is consumed first."
)
@click.option(
    "--expires", type=EXACT_DAY, help="The last day on which it can be used, on the account's calendar."
)
@click.option("--category", type=click.Choice(["paid", "promotional"]), default="paid", show_default=True)
@click.option("--reference", help="Your own name for this grant; the same again gives nothing more.")
@click.option(
    "--pay-in-advance",
    is_flag=True,
    help="Confirm that this is ACCOUNT's first paid grant: calls beyond its credit are refused from then on.",
)
@_environment
@json_option
def grant(
    account: str,
    amount: Decimal,
    priority: int,
    expires: date | None,
    category: Category,
    reference: str | None,
    pay_in_advance: bool,
    environment: Environment,
    as_json: bool,
) -> None:
    """Give ACCOUNT prepaid credit. With its first paid grant an account pays in advance for good: calls beyond it are refused."""
    current = session()
    now = current.now

    async def work(pool: asyncpg.Pool) -> Grant:
        async with all_accounts(pool) as connection:
            found = await find_account(connection, account)
            return await grant_credit(
                connection,
                found,
                environment,
                amount,
                category=category,
                priority=priority,
                valid_until=None if expires is None else _end_of(expires, found.timezone),
                actor=local_operator(),
                now=now,
                reference=reference,
                pay_in_advance=pay_in_advance,
            )

    made = current.keep_books(work)
    if as_json:
        print_json(made)
        return
    until = f" until the end of {expires}" if expires else ""
    more = f"has {plain(made.amount)} {made.currency} more{until}"
    if made.granted_at != now:
        more = f"was given {plain(made.amount)} {made.currency} under this reference before, and nothing more"
    click.echo(f"{account} {more}: {made.id}.")


@click.command()
@click.argument("account")
@_environment
@json_option
def credit(account: str, environment: Environment, as_json: bool) -> None:
    """The grants of ACCOUNT in the order in which they are consumed, and what is left."""

    async def work(transaction: Transaction) -> tuple[Account, Sequence[Grant]]:
        found = await find_account(transaction, account)
        return found, await grants_of(transaction, found.id, environment)

    current = session()
    owner, grants = current.read(work)
    if as_json:
        print_json(grants)
        return
    rows = [
        (
            one.id,
            one.category,
            one.priority,
            plain(one.amount),
            plain(one.used),
            plain(one.reserved),
            plain(_left(one, current.now)),
            on_clock_of(owner.timezone, one.valid_until),
        )
        for one in grants
    ]
    left = sum((_left(one, current.now) for one in grants), Decimal(0))
    figures = ("amount", "used", "reserved", "left")
    print_table(
        ("grant", "category", "priority", *figures, "valid until"),
        [*rows, ("total", "", "", "", "", "", plain(left), None)],
        right=("priority", *figures),
    )


@click.group()
def budget() -> None:
    """What an account, application or cost centre may cost in a month."""


@budget.command(name="set", context_settings=_NEGATIVE)
@click.argument("account")
@click.argument("amount", type=DECIMAL)
@click.option("--application", help="For one application: its id or name.")
@click.option("--cost-centre", help="For one cost centre: its id or name.")
@click.option("--hard", is_flag=True, help="Refuse the calls that it does not cover.")
@click.option(
    "--alarm",
    "thresholds",
    type=int,
    multiple=True,
    default=THRESHOLDS_PCT,
    show_default=True,
    help="Percentages at which an alarm is raised, once each month.",
)
@_environment
@json_option
def set_(
    account: str,
    amount: Decimal,
    application: str | None,
    cost_centre: str | None,
    hard: bool,
    thresholds: tuple[int, ...],
    environment: Environment,
    as_json: bool,
) -> None:
    """Set the monthly budget of ACCOUNT, or of one of its applications or cost centres, from now on."""
    if application and cost_centre:
        raise click.UsageError("a budget is of an application or of a cost centre")
    scope: Scope = "application" if application else "cost_centre" if cost_centre else "account"

    async def work(transaction: Transaction, by: By) -> Budget:
        found = await find_account(transaction, account)
        return await set_budget(
            transaction,
            found,
            environment,
            scope,
            application or cost_centre or "",
            amount,
            hard=hard,
            thresholds_pct=thresholds,
            actor=by.actor,
            now=by.now,
        )

    made = session().act(work)
    if as_json:
        print_json(made)
        return
    word = "refuses what it does not cover" if made.hard else "raises alarms"
    click.echo(f"The budget {made.id} of {plain(made.amount)} a month {word}.")


@budget.command()
@click.argument("account")
@click.argument("budget_id")
def end(account: str, budget_id: str) -> None:
    """End a budget of ACCOUNT now."""

    async def work(transaction: Transaction, by: By) -> None:
        found = await find_account(transaction, account)
        await end_budget(transaction, found, budget_id, actor=by.actor, now=by.now)

    session().act(work)
    click.echo(f"{budget_id} has ended.")


@budget.command(name="list")
@click.argument("account")
@_environment
@json_option
def list_(account: str, environment: Environment, as_json: bool) -> None:
    """The budgets of ACCOUNT, and what the running month has come to.

    "rated" is what its usage comes to on the bill, as far as it is rated; alarms go by it. "counted" is the same usage at list
    prices as it happens, and "reserved" what calls that run may still cost: a hard budget refuses what exceeds it with these two.
    """
    current = session()

    async def work(transaction: Transaction) -> list[BudgetState]:
        found = await find_account(transaction, account)
        now = await books_time(transaction, found.id, environment, current.now)
        period = Period.of(now, found.timezone)
        spent = await spent_by_scope(transaction, found.id, environment, period)
        states = []
        for one in await budgets_of(transaction, found.id, environment):
            amount = round_money(spent.get(one.scope_id, Decimal(0)), found.currency)
            held = await budget_standing(
                transaction, found.id, environment, one.id, period.first_day, one.amount
            )
            counted, reserved = (None, None) if held is None else (held.used, held.reserved)
            states.append(BudgetState(one, str(period), amount, counted, reserved))
        return states

    states = current.read(work)
    if as_json:
        print_json(states)
        return
    print_table(
        ("budget", "of", "", "amount", "rated", "counted", "reserved", "hard", "alarms at"),
        [
            (
                one.budget.id,
                one.budget.scope,
                one.budget.scope_id,
                plain(one.budget.amount),
                plain(one.spent),
                _figure(one.counted),
                _figure(one.reserved),
                one.budget.hard,
                ", ".join(f"{share} %" for share in one.budget.thresholds_pct),
            )
            for one in states
        ],
        right=("amount", "rated", "counted", "reserved"),
    )


def _figure(amount: Decimal | None) -> str | None:
    return None if amount is None else plain(amount)


def _left(grant: Grant, now: datetime) -> Decimal:
    return grant.amount - grant.used - grant.reserved if grant.is_valid(now) else Decimal(0)


def _end_of(day: date, timezone: str) -> datetime:
    """The first moment of the following day on the account's calendar."""
    following = date.fromordinal(day.toordinal() + 1)
    return datetime(following.year, following.month, following.day, tzinfo=ZoneInfo(timezone))
