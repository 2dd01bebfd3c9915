"""`ordergate reconcile` and `ordergate rebuild`."""

import asyncio
import sys
from pathlib import Path

import asyncpg
import click

from billing.audit.journals import journaled_events
from billing.desk import (
    PaymentReport,
    ProviderAway,
    ProviderRefused,
    open_stripe,
    reconcile_payments,
    stripe_secrets,
)
from billing.rebuild import verify as verify_rebuild
from billing.reconcile import Report
from billing.reconcile import reconcile as compare
from deploy.cli.flow import catch_up, driver
from deploy.cli.output import json_option, print_json, working
from deploy.cli.session import Session, session
from deploy.journal_audit import AuditError
from deploy.served import served_by_journals


@click.command()
@click.option(
    "--book",
    "books",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A client's own log of what it was answered, one JSON object a line: operation, call_id, status, class, charge.",
)
@json_option
def reconcile(books: tuple[Path, ...], as_json: bool) -> None:
    """Compare the books with each other, while calls go on. The last line is that of the live ones; exit status 1 if any differ."""
    current = session()
    journals = current.settings.home.journals

    try:
        with working("comparing the books") as notice:

            async def work(pool: asyncpg.Pool) -> tuple[Report, ...]:
                return await compare(
                    pool,
                    lambda until: served_by_journals(journals, until),
                    journals,
                    books,
                    clock=current.clock,
                    sleep=asyncio.sleep,
                    drive=driver(current, pool),
                    notice=notice,
                )

            reports = current.keep_books(work)
    except AuditError as error:
        raise click.ClickException(
            f"A journal cannot be counted: {error}. `ordergate journal verify` names the case."
        ) from error
    payment = _payment_books(current)
    if as_json:
        print_json({"books": reports, "payment": payment} if payment else reports)
    else:
        if payment is not None:
            for sentence in payment.differences:
                click.echo(f"payment: {sentence}")
            click.echo(payment.line)
        if reports[0].lag:
            click.echo(f"not in the books after a minute: {reports[0].lag}; `ordergate doctor` says why")
        for report in reports:
            for difference in report.differences:
                click.echo(f"{report.environment}: {difference}")
            for sentence in report.notices:
                click.echo(f"{report.environment}: notice: {sentence}")
            click.echo(
                report.line if report.environment == "live" else f"{report.environment}: {report.line}"
            )
    if not all(report.agrees for report in reports) or not (payment is None or payment.agrees):
        sys.exit(1)


def _payment_books(current: Session) -> PaymentReport | None:
    """Our invoices and payments against the provider's; None where none is configured."""
    secrets = stripe_secrets(current.settings.home.path)
    if secrets is None:
        return None

    async def work(pool: asyncpg.Pool) -> PaymentReport:
        provider = open_stripe(secrets)
        try:
            return await reconcile_payments(pool, provider)
        finally:
            provider.close()

    try:
        with working("comparing with the payment provider"):
            return current.keep_books(work)
    except (ProviderAway, ProviderRefused) as error:
        raise click.ClickException(f"The payment provider's book cannot be read: {error}.") from error


@click.command()
@click.option("--verify", "compare_only", is_flag=True, required=True, help="Compare with what is stored.")
@json_option
def rebuild(compare_only: bool, as_json: bool) -> None:
    """Work everything out again from the journals. Usage, rating, ledger and documents are compared with what is stored."""
    assert compare_only, "click requires the flag"
    current = session()

    async def work(pool: asyncpg.Pool) -> list[str]:
        await catch_up(current, pool)
        return await verify_rebuild(pool, journaled_events(current.settings.home.journals))

    with working("rebuilding"):
        differences = current.keep_books(work)
    if as_json:
        print_json({"equal": not differences, "differences": differences})
    else:
        for difference in differences:
            click.echo(difference)
        click.echo("equal" if not differences else f"{len(differences)} differences")
    if differences:
        sys.exit(1)
