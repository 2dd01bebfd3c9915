"""`ordergate close`."""

import asyncio
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping

import asyncpg
import click

from billing.desk import CloseReport, close_recorded
from catalog.accounts.account import list_accounts
from catalog.vocabulary.clock import rfc3339
from catalog.vocabulary.counted import counted
from catalog.vocabulary.money import plain
from catalog.vocabulary.period import Period
from deploy.cli.flow import driver
from deploy.cli.output import json_option, print_json, print_table, working
from deploy.cli.period import PERIOD
from deploy.cli.profile import in_words, remedy
from deploy.cli.session import session

_NAMED_MAX = 5


@click.command()
@click.argument("period", type=PERIOD)
@json_option
def close(period: Period, as_json: bool) -> None:
    """Close a month. Final rating and a document for every account; doing it again changes nothing.

    Every call made before is on it: the command waits up to a minute for what is on its way, and closes nothing where
    that does not arrive.

    Exit status 0: all that is due is issued, also where that was done before or nothing was used; a draft that its
    calendar issues later is not due. 1: a document that is due stays a draft, because billing details are missing,
    its amount is unusual or a price cannot be rated; or the month is refused, because it is over for no account.
    """
    current = session()
    with working(f"closing {period}") as notice:

        async def work(pool: asyncpg.Pool) -> CloseReport:
            return await close_recorded(
                pool,
                current.settings.home.journals,
                period,
                clock=current.clock,
                sleep=asyncio.sleep,
                drive=driver(current, pool),
                notice=notice,
                progress=notice.count,
            )

        report = current.keep_books(work)
    if as_json:
        print_json(report)
    else:
        _print(report, {account.id: account.name for account in current.read(list_accounts)})
    for warning in report.warnings:
        click.echo(f"Warning: {warning}", err=True)
    refused = report.not_ended and not (report.issued or report.already_issued or report.left_draft)
    if refused or any(left.due for left in report.left_draft):
        sys.exit(1)


def _print(report: CloseReport, names: Mapping[str, str]) -> None:
    if report.issued:
        print_table(
            ("number", "account", "environment", "month", "total", ""),
            [
                (
                    one.number,
                    names[one.account_id],
                    one.environment,
                    one.period,
                    plain(one.total),
                    one.currency,
                )
                for one in report.issued
            ],
            right=("total",),
        )
    for sentence in (*_left(report, names), *_skipped(report, names)):
        click.echo(sentence)
    click.echo(
        f"{report.period}: issued {len(report.issued)}, issued before {report.already_issued}, "
        f"left as draft {len(report.left_draft)}, not over yet {len(report.not_ended)}"
    )


def _left(report: CloseReport, names: Mapping[str, str]) -> Iterator[str]:
    """Drafts that ought to be documents: each by name, for somebody has to do something about it."""
    for left in report.left_draft:
        why = f"missing: {in_words(left.missing)}" if left.missing else left.reason
        if any(field != "seller" for field in left.missing):
            why += f"; say it with {remedy(names[left.account_id])}"
        if "seller" in left.missing:
            why += "; it would name the demo's: say who issues with `ordergate seller profile`"
        if left.amount is not None:
            name = names[left.account_id]
            why += f": {plain(left.amount)}; look at it, then `ordergate approve {name} {left.period}`"
        yield f"{names[left.account_id]}: the {left.environment} document of {left.period} stays a draft; {why}"


def _skipped(report: CloseReport, names: Mapping[str, str]) -> Iterator[str]:
    """Accounts that were passed over, those of one calendar in one line: there is nothing to do but to wait."""
    ends = defaultdict(list)
    for open_ in report.not_ended:
        ends[open_.ends_at, open_.timezone].append(open_)
    for (ends_at, timezone), accounts in sorted(ends.items()):
        named = sorted(names[one.account_id] for one in accounts)
        more = f" and {len(named) - _NAMED_MAX} more" if len(named) > _NAMED_MAX else ""
        yield (
            f"skipped, {report.period} ends on {rfc3339(ends_at)} ({timezone}): {', '.join(named[:_NAMED_MAX])}{more}; "
            f"{counted(sum(one.drafts for one in accounts), 'draft')} so far"
        )
