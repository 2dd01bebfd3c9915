"""`ordergate margin`, `revenue`, `chargeback …`, `close-calendar`: settling inside the group."""

import click

from billing.invoice.calendar import ClosePolicy, close_policies, set_close_policy
from billing.invoice.month import AccountKind, Month
from billing.settlement.allocate import allocate
from billing.settlement.chargeback import Chargeback
from billing.settlement.chargeback import chargeback as charge_back
from billing.settlement.margin import Figures, Margin
from billing.settlement.margin import margin as margin_of
from billing.settlement.revenue import RevenueStatement, revenue_statements
from catalog.accounts.account import find_account
from catalog.accounts.allocation import AllocationPart, AllocationRule, list_allocations
from catalog.transaction import Transaction
from catalog.vocabulary.ids import ENVIRONMENTS, Environment
from catalog.vocabulary.period import Period
from deploy.cli.output import json_option, print_json, print_table
from deploy.cli.period import PERIOD
from deploy.cli.session import By, session

_ENVIRONMENT = click.option(
    "--env", "environment", type=click.Choice(ENVIRONMENTS), default="live", show_default=True
)


@click.command()
@click.argument("period", type=PERIOD)
@_ENVIRONMENT
@json_option
def margin(period: Period, environment: Environment, as_json: bool) -> None:
    """What a month earned: revenue, unit costs and margin of every operation, over all accounts; for the provider alone."""

    async def work(transaction: Transaction) -> Margin:
        return await margin_of(transaction, period, environment)

    found = session().read(work)
    if as_json:
        print_json(found)
        return
    columns = ("of", "calls", "revenue", "credits", "cost", "margin", "%", "")
    rows: list[tuple[object, ...]] = []
    for service in found.services:
        rows.extend(_row(one.operation, one.figures) for one in service.operations)
        rows.append(_row(service.service, service.figures))
    rows.extend(_row("total", one) for one in found.totals)
    print_table(columns, rows, right=columns[1:-1])


def _row(name: str, one: Figures) -> tuple[object, ...]:
    return (name, one.calls, one.revenue, one.credits, one.cost, one.margin, one.margin_pct, one.currency)


@click.command()
@click.argument("period", type=PERIOD)
@click.option("--unit", help="One delivering unit; all by default.")
@_ENVIRONMENT
@json_option
def revenue(period: Period, unit: str | None, environment: Environment, as_json: bool) -> None:
    """The revenue statements of the units that deliver services: their shares of every document of a month."""

    async def work(transaction: Transaction) -> tuple[RevenueStatement, ...]:
        return await revenue_statements(transaction, period, environment, unit)

    found = session().read(work)
    if as_json:
        print_json(found)
        return
    columns = ("unit", "document", "account", "service", "share %", "revenue", "credits", "amount", "")
    rows: list[tuple[object, ...]] = []
    for statement in found:
        rows.extend(
            (
                statement.unit,
                one.document,
                one.account,
                one.service,
                one.share_pct,
                one.revenue,
                one.credits,
                one.amount,
                one.currency,
            )
            for one in statement.lines
        )
        rows.extend(
            (statement.unit, "total", None, None, None, one.revenue, one.credits, one.amount, one.currency)
            for one in statement.totals
        )
    print_table(columns, rows, right=columns[4:-1])


class _Part(click.ParamType[AllocationPart]):
    """`COST_CENTRE=PERCENT`."""

    name = "COST_CENTRE=PERCENT"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> AllocationPart:
        centre, found, percent = str(value).rpartition("=")
        if not found or not centre or not percent:
            self.fail("write COST_CENTRE=PERCENT, such as logistics=55", param, ctx)
        return AllocationPart(centre, percent)


@click.group()
def chargeback() -> None:
    """An account's bill on its cost centres."""


@chargeback.command("show")
@click.argument("account")
@click.argument("period", type=PERIOD)
@_ENVIRONMENT
@json_option
def show(account: str, period: Period, environment: Environment, as_json: bool) -> None:
    """A month's document of ACCOUNT, and what was credited in the month, line by line on its cost centres."""

    async def work(transaction: Transaction) -> Chargeback:
        payer = await find_account(transaction, account)
        return await charge_back(transaction, Month(payer.id, environment, period))

    found = session().read(work)
    if as_json:
        print_json(found)
        return
    columns = ("line", "operation", "credit note", "by", "cost centre", "%", "amount")
    print_table(
        columns,
        [
            (
                line.position,
                line.operation,
                line.credit_note,
                line.basis,
                part.cost_centre,
                part.percent,
                part.amount,
            )
            for line in found.lines
            for part in line.parts
        ],
        right=("line", "%", "amount"),
    )
    click.echo()
    print_table(
        ("cost centre", "amount", ""),
        [(one.cost_centre, one.amount, found.currency) for one in found.cost_centres],
        right=("amount",),
    )


@chargeback.command("rule")
@click.argument("account")
@click.argument("parts", type=_Part(), nargs=-1)
@click.option("--from", "effective_from", type=PERIOD, required=True, help="The first month.")
@click.option("--scope", default="", help="A service or service/operation; the whole bill by default.")
@json_option
def rule(
    account: str, parts: tuple[AllocationPart, ...], effective_from: Period, scope: str, as_json: bool
) -> None:
    """Split ACCOUNT's bill over cost centres by percentages that sum to 100; without any, an earlier split ends."""

    async def work(transaction: Transaction, by: By) -> AllocationRule:
        payer = await find_account(transaction, account)
        return await allocate(transaction, payer, scope, effective_from, parts, actor=by.actor, now=by.now)

    made = session().act(work)
    if as_json:
        print_json(made)
    else:
        click.echo(f"{account}: {scope or 'the whole bill'} is split this way from {effective_from} on.")


@chargeback.command("rules")
@click.argument("account")
@json_option
def rules(account: str, as_json: bool) -> None:
    """The rules of ACCOUNT."""

    async def work(transaction: Transaction) -> tuple[AllocationRule, ...]:
        return await list_allocations(transaction, (await find_account(transaction, account)).id)

    found = session().read(work)
    if as_json:
        print_json(found)
        return
    print_table(
        ("from", "scope", "parts"),
        [
            (
                one.effective_from,
                one.scope or "(all)",
                ", ".join(f"{part.cost_centre_id} {part.percent} %" for part in one.parts) or "(ends)",
            )
            for one in found
        ],
    )


@click.command("close-calendar")
@click.argument("kind", type=click.Choice(["internal", "external", "platform"]), required=False)
@click.option(
    "--disputes", type=click.IntRange(0), help="Day after the month on which drafts may be disputed."
)
@click.option(
    "--issue", "issue_", type=click.IntRange(0), help="Day after the month on which documents are issued."
)
@json_option
def close_calendar(kind: AccountKind | None, disputes: int | None, issue_: int | None, as_json: bool) -> None:
    """When documents of a KIND of account are disputed and issued; days 0 and 0 issue when the month is closed."""
    if kind is not None:
        if disputes is None or issue_ is None:
            raise click.UsageError("Name both days: --disputes 1 --issue 2.")
        policy = ClosePolicy(disputes, issue_)

        async def work(transaction: Transaction, by: By) -> None:
            await set_close_policy(transaction, kind, policy, by.actor, by.now)

        session().act(work)
    found = session().read(close_policies)
    if as_json:
        print_json(found)
        return
    print_table(
        ("accounts", "draft", "disputes", "issued"),
        [(of, "day 0", f"day {one.disputes_day}", f"day {one.issue_day}") for of, one in found.items()],
    )
    if not found:
        click.echo("Documents are issued when their month is closed.")
