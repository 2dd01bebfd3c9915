"""`ordergate simulate-price`."""

from pathlib import Path

import click

from billing.view import Simulation, simulate
from catalog.passport import Passport, PassportRefused
from catalog.registry.prices import unmetered
from catalog.transaction import Transaction
from catalog.vocabulary.ids import ENVIRONMENTS, Environment
from catalog.vocabulary.period import Period
from deploy.cli.output import json_option, print_json, print_table, working
from deploy.cli.passport_file import read_passport_file, refusal_lines
from deploy.cli.period import PERIOD
from deploy.cli.session import session


@click.command()
@click.argument("draft", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--period", type=PERIOD, help="A month such as 2026-10; the last one by default.")
@click.option("--env", "environment", type=click.Choice(ENVIRONMENTS), default="live", show_default=True)
@json_option
def simulate_price(draft: Path, period: Period | None, environment: Environment, as_json: bool) -> None:
    """What a month would have cost each account, and earned the service, under a draft's prices.

    DRAFT is a passport with the prices to be tried: take the present one, change its plans, publish nothing. A plan of
    the draft stands in for the plan of the same id.
    """
    passport = _read(draft)
    current = session()
    month = period or Period.of(current.now, "UTC").previous()

    async def work(transaction: Transaction) -> Simulation:
        meters = {entry.id: entry.meter.quantity for entry in passport.operations}
        plans = passport.parsed_plans
        return await simulate(transaction, passport.service, plans, month, environment, meters=meters)

    with working(f"rating {month} under {draft}"):
        simulation = current.read(work)
    if as_json:
        print_json(simulation)
    else:
        _print(simulation)


def _read(path: Path) -> Passport:
    try:
        passport = read_passport_file(path)
        if errors := unmetered(passport.parsed_plans, passport.operations):
            raise PassportRefused(tuple(errors))
        return passport
    except PassportRefused as refused:
        raise click.ClickException("\n".join(refusal_lines(path, refused))) from None


def _print(simulation: Simulation) -> None:
    if not simulation.lines:
        click.echo(
            f"Nobody called {simulation.service} in {simulation.period} ({simulation.environment}): "
            "name another month with --period."
        )
        return
    figures = ("calls", "current", "draft", "difference")
    for title, sums in (
        ("account", simulation.accounts),
        ("operation", simulation.operations),
        ("total", simulation.totals),
    ):
        print_table(
            (title, *figures, ""),
            [
                (
                    one.of,
                    one.effect.calls,
                    one.effect.current.amount,
                    one.effect.draft.amount,
                    one.effect.difference.amount,
                    one.effect.current.currency,
                )
                for one in sums
            ],
            right=figures,
        )
        click.echo()
    if unpriced := sorted({line.operation for line in simulation.lines if not line.priced}):
        click.echo(f"Without a draft price for some of their callers, unchanged: {', '.join(unpriced)}")
