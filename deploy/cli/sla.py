"""`ordergate sla`, `ordergate outcome …`, `ordergate maintenance`: the service level from the operator's side."""

from datetime import datetime
from uuid import UUID

import click

from billing.desk import Decision, Maintenance, announce_maintenance, contest, resolve
from billing.invoice.month import payer_of
from billing.view import ObjectiveLevel, ServiceLevel, Verdict, service_level, verdicts
from catalog.accounts.account import find_account
from catalog.registry.published import current
from catalog.transaction import Transaction
from catalog.vocabulary.ids import parse_call_id
from catalog.vocabulary.period import Period
from deploy.cli.output import json_option, print_json, print_table
from deploy.cli.period import PERIOD
from deploy.cli.session import By, session

_LISTED = 100


class _Moment(click.ParamType[datetime]):
    """RFC 3339 with a zone."""

    name = "MOMENT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail("write a moment such as 2026-11-22T02:00:00+08:00", param, ctx)
        if moment.tzinfo is None:
            self.fail("a moment needs a zone: 2026-11-22T02:00:00+08:00, or Z for UTC", param, ctx)
        return moment


class _CallId(click.ParamType[UUID]):
    """`call_…`, as replies name a call."""

    name = "CALL_ID"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> UUID:
        try:
            return parse_call_id(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


MOMENT = _Moment()
CALL_ID = _CallId()


@click.command()
@click.argument("service")
@click.option("--period", type=PERIOD, help="A month such as 2026-11; the running one, UTC, by default.")
@click.option(
    "--sandbox", metavar="ACCOUNT", help="What the test calls of this account attained, in its own time."
)
@json_option
def sla(service: str, period: Period | None, sandbox: str | None, as_json: bool) -> None:
    """What SERVICE promised in a month, what all accounts were given in the live environment, and what is burning."""
    session_ = session()

    async def work(transaction: Transaction) -> ServiceLevel:
        published = (await current(transaction)).get(service)
        if published is None:
            raise click.ClickException(
                f"No service {service!r} is published; `ordergate services` lists those that are."
            )
        if sandbox is None:
            month = period or Period.of(session_.now, "UTC")
            return await service_level(transaction, published.passport, month, None, "UTC")
        payer = await payer_of(transaction, (await find_account(transaction, sandbox)).id)
        month = period or Period.of(payer.now_in("test", session_.now), payer.timezone)
        return await service_level(transaction, published.passport, month, payer.id, payer.timezone, "test")

    level = session_.read(work)
    if as_json:
        print_json(level)
        return
    columns = (
        f"{level.service} {level.period} {level.environment}",
        "promised %",
        "attained %",
        "measured",
        "budget left %",
        "state",
    )
    print_table(columns, [_row(one) for one in level.objectives], right=columns[1:3])
    for alarm in level.alarms:
        if alarm.ended_at is None:
            click.echo(
                f"burning: {alarm.objective} ({alarm.rule}), {alarm.burn} times too fast since {alarm.began_at}"
            )


def _row(one: ObjectiveLevel) -> tuple[object, ...]:
    name = one.objective if one.operation is None else f"{one.objective} ({one.operation})"
    if (found := one.attained or one.own) is None:
        return (name, one.target_pct, None, None, None, "not seen yet")
    return (name, one.target_pct, found.attained_pct, found.measured, found.budget_left_pct, found.state)


@click.group()
def outcome() -> None:
    """Verdicts that payers reported of their calls."""


@outcome.command("list")
@click.argument("service")
@json_option
def list_(service: str, as_json: bool) -> None:
    """The latest verdicts on calls of SERVICE."""

    async def work(transaction: Transaction) -> tuple[Verdict, ...]:
        return await verdicts(transaction, service, _LISTED)

    _show(session().read(work), as_json)


@outcome.command("contest")
@click.argument("call_id", type=CALL_ID)
@click.option("--reason", required=True, help="Why the provider does not agree; the payer reads it.")
@json_option
def contest_(call_id: UUID, reason: str, as_json: bool) -> None:
    """Contest the verdict on CALL_ID: it counts for nothing until it is decided."""

    async def work(transaction: Transaction, by: By) -> Verdict:
        return await contest(transaction, call_id, reason, by.actor, by.now)

    _show((session().act(work),), as_json)


@outcome.command("resolve")
@click.argument("call_id", type=CALL_ID)
@click.argument("decision", type=click.Choice(["upheld", "dismissed"]))
@click.option("--reason", required=True, help="Why; the payer reads it.")
@json_option
def resolve_(call_id: UUID, decision: str, reason: str, as_json: bool) -> None:
    """Decide the contested verdict on CALL_ID; upheld, it counts in the month of this decision."""

    async def work(transaction: Transaction, by: By) -> Verdict:
        step: Decision = "upheld" if decision == "upheld" else "dismissed"
        return await resolve(transaction, call_id, step, reason, by.actor, by.now)

    _show((session().act(work),), as_json)


def _show(found: tuple[Verdict, ...], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    columns = ("call", "operation", "outcome", "state", "reported", "reason", "ruling")
    rows = [
        (one.call_id, one.operation, one.outcome, one.state, one.reported_at, one.reason, one.ruling)
        for one in found
    ]
    print_table(columns, rows)


@click.command()
@click.argument("subject")
@click.option(
    "--starts", "starts_at", type=MOMENT, required=True, help="At a whole five minutes, ahead of now."
)
@click.option("--ends", "ends_at", type=MOMENT, required=True)
@click.option("--reason", required=True)
@json_option
def maintenance(subject: str, starts_at: datetime, ends_at: datetime, reason: str, as_json: bool) -> None:
    """Announce that SUBJECT (a service, or an operation such as customs/screen) will be away: it counts for nobody."""

    async def work(transaction: Transaction, by: By) -> Maintenance:
        return await announce_maintenance(transaction, subject, starts_at, ends_at, reason, by.actor, by.now)

    made = session().act(work)
    if as_json:
        print_json(made)
    else:
        print_table(("id", "subject", "starts", "ends"), [(made.id, subject, made.starts_at, made.ends_at)])
