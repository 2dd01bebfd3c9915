"""`ordergate review …`: what waits for a second person."""

from datetime import datetime

import click
import msgspec

from atomic_services.registry import built_in_passport, example_errors
from catalog.passport import PassportRefused, check_passport, document_of
from catalog.registry import review as reviews
from catalog.registry.differences import Change, changes
from catalog.registry.price_changes import PriceChange, price_changes, sentence
from catalog.registry.prices import planned_prices
from catalog.registry.publish import Publication
from catalog.registry.published import current as on_sale
from catalog.registry.published import price_versions
from catalog.registry.review import Submission
from catalog.transaction import Transaction
from deploy.cli.output import json_option, print_json, print_table
from deploy.cli.publish import changed_prices
from deploy.cli.session import By, session


class SubmissionView(msgspec.Struct, frozen=True):
    """A submission, what it changes of the passport published last, and of the prices if it were approved now.

    A passport may name a price that is only scheduled: what is charged today stands in `prices`.
    """

    submission: Submission
    changes: tuple[Change, ...]
    prices: tuple[PriceChange, ...]


@click.group()
def review() -> None:
    """Passports that wait for a second person.

    `ordergate publish` submits them where ORDERGATE_REVIEW=required.
    """


@review.command(name="list")
@click.option("--all", "decided", is_flag=True, help="Those that were approved or rejected as well.")
@json_option
def list_(decided: bool, as_json: bool) -> None:
    """What waits, oldest first."""

    async def work(transaction: Transaction) -> tuple[Submission, ...]:
        return await reviews.submissions(transaction, decided=decided)

    found = session().read(work)
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "service", "version", "submitted", "by", "verdict", "reviewed", "by", "reason"),
        [
            (
                one.id,
                one.service,
                one.version,
                one.submitted_at,
                one.submitted_by,
                one.verdict or "waits",
                one.reviewed_at,
                one.reviewed_by,
                one.reason,
            )
            for one in found
        ],
    )


@review.command()
@click.argument("submission_id", metavar="ID")
@json_option
def show(submission_id: str, as_json: bool) -> None:
    """What a submission changes of the passport that is on sale, and of the prices that are charged."""
    current = session()

    async def work(transaction: Transaction) -> SubmissionView:
        found = await reviews.find_submission(transaction, submission_id)
        active = (await on_sale(transaction)).get(found.service)
        before = document_of(active.passport) if active else {}
        prices = () if found.verdict else await _prices(transaction, found, current.now)
        return SubmissionView(found, tuple(changes(before, found.document)), prices)

    view = current.read(work)
    if as_json:
        print_json(view)
        return
    print_table(
        ("field", "published last", "submitted"),
        [(one.pointer, _text(one.before), _text(one.after)) for one in view.changes],
    )
    if view.prices:
        click.echo("\nPrices, if it were approved now:")
    for change in view.prices:
        click.echo(f"  {sentence(change)}")


async def _prices(transaction: Transaction, found: Submission, now: datetime) -> tuple[PriceChange, ...]:
    planned = await planned_prices(transaction, check_passport(found.document), now)
    return price_changes(await price_versions(transaction), [one.version for one in planned])


def _text(value: object) -> str:
    return "" if value is None else msgspec.json.encode(value).decode()


@review.command()
@click.argument("submission_id", metavar="ID")
@json_option
def approve(submission_id: str, as_json: bool) -> None:
    """Publish what somebody else submitted."""

    async def work(transaction: Transaction, by: By) -> tuple[Publication, tuple[PriceChange, ...]]:
        found = await reviews.find_submission(transaction, submission_id)
        # The code may have changed since it was submitted: what it says about the examples is asked again.
        if errors := example_errors(check_passport(found.document)):
            raise PassportRefused(errors)
        published = await reviews.approve(
            transaction, submission_id, built_in_passport(found.service), by.actor, by.now
        )
        return published, await changed_prices(transaction, published)

    done, changed = session().act(work)
    if as_json:
        print_json({**msgspec.structs.asdict(done), "price_changes": changed})
    else:
        prices = f", new prices {', '.join(done.new_prices)}" if done.new_prices else ""
        click.echo(f"{done.service} {done.version} is revision {done.revision}{prices}")
        for change in changed:
            click.echo(f"  {sentence(change)}")


@review.command()
@click.argument("submission_id", metavar="ID")
@click.option("--reason", required=True, help="What is wrong, for whoever submitted it.")
def reject(submission_id: str, reason: str) -> None:
    """End a submission unpublished. Whoever submitted it may withdraw it so."""

    async def work(transaction: Transaction, by: By) -> Submission:
        return await reviews.reject(transaction, submission_id, reason, by.actor, by.now)

    ended = session().act(work)
    click.echo(f"{ended.id} is rejected; {ended.service} stays as it is.")
