"""`ordergate focus`."""

from pathlib import Path

import click

from billing.focus.export import focus_rows
from billing.focus.files import FORMATS, write_rows
from billing.focus.row import FocusRow
from catalog.accounts.account import find_account
from catalog.transaction import Transaction
from catalog.vocabulary.counted import counted
from catalog.vocabulary.ids import ENVIRONMENTS, Environment
from catalog.vocabulary.period import Period
from deploy.cli.output import working
from deploy.cli.period import PERIOD
from deploy.cli.session import session

# No calendar on earth is further ahead.
_EARLIEST = "Pacific/Kiritimati"


@click.command()
@click.argument("period", type=PERIOD)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="A file that ends in .parquet or .csv.",
)
@click.option("--account", help="One account by name or id; all by default.")
@click.option("--seller", help="The legal entity that issues; that of `ordergate seller profile` by default.")
@click.option("--env", "environment", type=click.Choice(ENVIRONMENTS), default="live", show_default=True)
def focus(
    period: Period, output: Path, account: str | None, seller: str | None, environment: Environment
) -> None:
    """A month's costs and usage in the FinOps format FOCUS 1.2. The rows of a document sum to its total."""
    if output.suffix not in FORMATS:
        raise click.BadParameter(f"name a file that ends in {' or '.join(FORMATS)}", param_hint="--output")

    async def work(transaction: Transaction) -> tuple[FocusRow, ...]:
        account_id = None if account is None else (await find_account(transaction, account)).id
        return await focus_rows(transaction, period, environment, seller, account_id)

    current = session()
    with working(f"exporting {period}"):
        rows = current.read(work)
        # A sandbox with a clock of its own may be ahead: what it has is exported.
        if not rows and period > Period.of(current.now, _EARLIEST):
            raise click.ClickException(f"{period} has not begun anywhere; nothing was written.")
        write_rows(rows, output)
    click.echo(f"{counted(len(rows), 'row')} in {output}")
