"""`ordergate review …`: what waits for a second person."""

import click
import msgspec

from atomic_services.registry import built_in_passport, example_errors
from catalog.passport import PassportRefused, check_passport, document_of
from catalog.registry import review as reviews
from catalog.registry.differences import Change, changes
from catalog.registry.publish import Publication
from catalog.registry.published import current as on_sale
from catalog.registry.review import Submission
from catalog.transaction import Transaction
from deploy.cli.output import json_option, print_json, print_table
from deploy.cli.session import By, session


class SubmissionView(msgspec.Struct, frozen=True):
    """A submission and what it changes of what is on sale now."""

    submission: Submission
    changes: tuple[Change, ...]


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
    """What a submission changes of the passport that is on sale."""

    async def work(transaction: Transaction) -> SubmissionView:
        found = await reviews.find_submission(transaction, submission_id)
        active = (await on_sale(transaction)).get(found.service)
        before = document_of(active.passport) if active else {}
        return SubmissionView(found, tuple(changes(before, found.document)))

    view = session().read(work)
    if as_json:
        print_json(view)
        return
    print_table(
        ("field", "on sale", "submitted"),
        [(one.pointer, _text(one.before), _text(one.after)) for one in view.changes],
    )


def _text(value: object) -> str:
    return "" if value is None else msgspec.json.encode(value).decode()


@review.command()
@click.argument("submission_id", metavar="ID")
@json_option
def approve(submission_id: str, as_json: bool) -> None:
    """Publish what somebody else submitted."""

    async def work(transaction: Transaction, by: By) -> Publication:
        found = await reviews.find_submission(transaction, submission_id)
        # The code may have changed since it was submitted: what it says about the examples is asked again.
        if errors := example_errors(check_passport(found.document)):
            raise PassportRefused(errors)
        return await reviews.approve(
            transaction, submission_id, built_in_passport(found.service), by.actor, by.now
        )

    done = session().act(work)
    if as_json:
        print_json(done)
    else:
        prices = f", new prices {', '.join(done.new_prices)}" if done.new_prices else ""
        click.echo(f"{done.service} {done.version} is revision {done.revision}{prices}")


@review.command()
@click.argument("submission_id", metavar="ID")
@click.option("--reason", required=True, help="What is wrong, for whoever submitted it.")
def reject(submission_id: str, reason: str) -> None:
    """End a submission unpublished. Whoever submitted it may withdraw it so."""

    async def work(transaction: Transaction, by: By) -> Submission:
        return await reviews.reject(transaction, submission_id, reason, by.actor, by.now)

    ended = session().act(work)
    click.echo(f"{ended.id} is rejected; {ended.service} stays as it is.")
