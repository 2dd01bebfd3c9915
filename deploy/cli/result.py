"""`ordergate result …`: proven results, from the provider's side; and the payer's word on them where it is given by mail."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import click

from billing.desk import Acceptance, accept_results, decline_result
from billing.invoice.month import Month, payer_of
from billing.result.month import stated_month
from billing.result.rows import Result
from billing.result.step import Proof, known_result, restate_result, state_result, withdraw_result
from billing.transaction import Connection
from billing.view import ResultStatement, ResultView, result_statement, result_view
from catalog.accounts.account import find_account
from catalog.transaction import Transaction
from catalog.vocabulary.counted import counted
from catalog.vocabulary.ids import ENVIRONMENTS, Environment, parse_result_id
from catalog.vocabulary.period import Period
from deploy.cli.decimals import DECIMAL
from deploy.cli.output import json_option, print_json, print_table
from deploy.cli.period import PERIOD
from deploy.cli.session import By, session

_LISTED = 1000
_ENVIRONMENT = click.option(
    "--env", "environment", type=click.Choice(ENVIRONMENTS), default="live", show_default=True
)


class _ResultId(click.ParamType[UUID]):
    """`result_…`, as `result list` and /api/results name a result."""

    name = "RESULT_ID"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> UUID:
        try:
            return parse_result_id(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


RESULT_ID = _ResultId()


def _proof(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a proof: what a unit cost before and after, how many there were, and the evidence."""
    for option in (
        click.option("--evidence", required=True, help="Where that is proven, in words; the payer reads it."),
        click.option("--volume", type=DECIMAL, required=True, help="How many units there were."),
        click.option("--measured", type=DECIMAL, required=True, help="What a unit costs now."),
        click.option("--baseline", type=DECIMAL, required=True, help="What a unit cost before."),
    ):
        command = option(command)
    return command


@click.group()
def result() -> None:
    """Proven results, of which prices take a share: stated, then accepted or declined by their payer.

    A result is (baseline - measured) x volume. Nothing of it is billed before its payer has accepted it.
    """


@result.command("list")
@click.argument("account")
@click.option(
    "--period", type=PERIOD, help="A month such as 2026-10; the running one of the account by default."
)
@_ENVIRONMENT
@json_option
def list_(account: str, period: Period | None, environment: Environment, as_json: bool) -> None:
    """The statement of ACCOUNT's results of a month: what each operation's cost, and the first thousand one by one."""
    current = session()

    async def work(transaction: Transaction) -> ResultStatement:
        payer = await payer_of(transaction, (await find_account(transaction, account)).id)
        month = period or Period.of(payer.now_in(environment, current.now), payer.timezone)
        return await result_statement(transaction, Month(payer.id, environment, month), _LISTED)

    statement = current.read(work)
    if as_json:
        print_json(statement)
        return
    for one in statement.operations:
        click.echo(
            f"{one.operation}: {one.open.count} open ({one.open.cost.amount}), {one.accepted.count} accepted "
            f"({one.accepted.cost.amount}), {one.declined.count} declined ({one.declined.cost.amount})"
        )
    _print(statement.data)
    click.echo(
        f"{statement.account_id} {statement.environment} {statement.period}: {statement.open} open, "
        f"{statement.total.amount} {statement.total.currency} once they are accepted"
    )


@result.command()
@click.argument("account")
@click.argument("operation")
@click.option("--period", type=PERIOD, required=True, help="The month of the result, such as 2026-10.")
@_proof
@_ENVIRONMENT
@json_option
def state(
    account: str, operation: str, period: Period, environment: Environment, as_json: bool, **proof: Any
) -> None:
    """State a result of OPERATION (customs/check) for ACCOUNT; it is booked on the last answered call of the month."""

    async def work(transaction: Transaction, by: By) -> ResultView:
        found = await find_account(transaction, account)
        month = await stated_month(transaction, found.id, environment, period)
        stated = await state_result(transaction, month, operation, Proof(**proof), by.actor, by.now)
        return result_view(stated, found.currency)

    _show(session().act(work), as_json)


@result.command()
@click.argument("result_id", type=RESULT_ID)
@_proof
@json_option
def restate(
    result_id: UUID, baseline: Decimal, measured: Decimal, volume: Decimal, evidence: str, as_json: bool
) -> None:
    """State RESULT_ID anew, also one that was declined or that a reply stated; not one that is accepted."""

    async def work(transaction: Transaction, by: By) -> ResultView:
        proof = Proof(baseline, measured, volume, evidence)
        return await _shown(
            transaction, await restate_result(transaction, result_id, proof, by.actor, by.now)
        )

    _show(session().act(work), as_json)


@result.command()
@click.argument("result_id", type=RESULT_ID)
@click.option("--reason", required=True, help="Why; the payer reads it.")
@json_option
def withdraw(result_id: UUID, reason: str, as_json: bool) -> None:
    """Take an open result back."""

    async def work(transaction: Transaction, by: By) -> ResultView:
        return await _shown(
            transaction, await withdraw_result(transaction, result_id, reason, by.actor, by.now)
        )

    _show(session().act(work), as_json)


@result.command()
@click.argument("result_id", type=RESULT_ID)
@click.option("--reason", required=True, help="The payer's reason.")
@json_option
def decline(result_id: UUID, reason: str, as_json: bool) -> None:
    """Decline an open result for its payer: it is not billed unless it is stated anew."""

    async def work(transaction: Transaction, by: By) -> ResultView:
        environment = (await known_result(transaction, result_id)).month.environment
        return await _shown(
            transaction,
            await decline_result(transaction, result_id, environment, reason, by.actor, by.now),
        )

    _show(session().act(work), as_json)


@result.command()
@click.argument("account")
@click.option("--period", type=PERIOD, required=True, help="The month, such as 2026-10.")
@click.option(
    "--total", type=DECIMAL, required=True, help="What the payer agreed to: `result list` shows it."
)
@_ENVIRONMENT
@json_option
def accept(account: str, period: Period, total: Decimal, environment: Environment, as_json: bool) -> None:
    """Accept all open results of a month for ACCOUNT, at the total that it agreed to; from now on they are billed."""

    async def work(transaction: Transaction, by: By) -> Acceptance:
        found = await find_account(transaction, account)
        month = Month(found.id, environment, period)
        return await accept_results(transaction, month, total, by.actor, by.now)

    done = session().act(work)
    if as_json:
        print_json(done)
    else:
        click.echo(
            f"{counted(done.results, 'result')} of {done.period} accepted: {done.total.amount} {done.total.currency}"
        )


async def _shown(connection: Connection, row: Result) -> ResultView:
    owner = (await known_result(connection, row.result_id)).month.account_id
    return result_view(row, (await payer_of(connection, owner)).currency)


def _show(one: ResultView, as_json: bool) -> None:
    if as_json:
        print_json(one)
    else:
        _print((one,))


def _print(found: tuple[ResultView, ...]) -> None:
    columns = (
        "result",
        "operation",
        "state",
        "since",
        "baseline",
        "measured",
        "volume",
        "amount",
        "share",
        "",
        "words",
    )
    rows = [
        (
            one.id,
            one.operation,
            one.state,
            one.since,
            one.baseline,
            one.measured,
            one.volume,
            one.result,
            one.share.amount,
            one.share.currency,
            one.reason or one.evidence,
        )
        for one in found
    ]
    print_table(columns, rows, right=columns[4:9])
