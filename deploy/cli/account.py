"""`ordergate account …`: business units and distributors, and what they are subscribed to."""

from collections.abc import Iterable
from typing import Any

import click
import msgspec

from catalog.accounts.account import Account, find_account, list_accounts
from catalog.accounts.application import Application, CostCentre, list_applications, list_cost_centres
from catalog.accounts.open import OpenedAccount, open_account
from catalog.accounts.subscription import Subscription, end_subscription, list_subscriptions
from catalog.accounts.subscription import subscribe as subscribe_account
from catalog.transaction import Transaction
from catalog.vocabulary.problem import Text
from deploy.cli.output import json_option, on_clock_of, print_json, print_table
from deploy.cli.profile import profile
from deploy.cli.session import By, session
from deploy.cli.terms import terms
from gateway.stores.keys import KeyEntry, list_keys


class AccountView(msgspec.Struct, frozen=True):
    """An account with everything that hangs on it."""

    account: Account
    applications: tuple[Application, ...]
    cost_centres: tuple[CostCentre, ...]
    subscriptions: tuple[Subscription, ...]
    keys: tuple[KeyEntry, ...]


class _Plan(click.ParamType[tuple[str, str]]):
    """`SERVICE=PLAN`."""

    name = "SERVICE=PLAN"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        service, found, plan = str(value).partition("=")
        if not found or not service or not plan:
            self.fail("write SERVICE=PLAN, such as address=internal-2026", param, ctx)
        return service, plan


@click.group()
def account() -> None:
    """Business units and distributors: who pays."""


account.add_command(terms)
account.add_command(profile)


@account.command()
@click.argument("name")
@click.option(
    "--kind", type=click.Choice(["internal", "external", "platform"]), default="internal", show_default=True
)
@click.option("--currency", default="CNY", show_default=True, help="ISO 4217 code; fixed for ever.")
@click.option("--timezone", default="Asia/Shanghai", show_default=True, help="IANA zone; fixed for ever.")
@click.option("--title", help="What people read in English; the name by default.")
@click.option("--title-zh", help="What people read in Chinese.")
@click.option(
    "--subscribe",
    "plans",
    type=_Plan(),
    multiple=True,
    help="Instead of a fitting plan of every public service.",
)
@json_option
def create(
    name: str,
    kind: str,
    currency: str,
    timezone: str,
    title: str | None,
    title_zh: str | None,
    plans: tuple[tuple[str, str], ...],
    as_json: bool,
) -> None:
    """Open an account that can call at once. It has an application and subscribes to every service that fits it."""

    async def work(transaction: Transaction, by: By) -> OpenedAccount:
        return await open_account(
            transaction,
            name=name,
            kind=kind,
            currency=currency,
            timezone=timezone,
            actor=by.actor,
            now=by.now,
            title=Text(title or name, title_zh),
            plans=dict(plans) if plans else None,
        )

    opened = session().act(work)
    if as_json:
        print_json(opened)
        return
    click.echo(f"{opened.account.name} is open as {opened.account.id}.")
    if opened.subscriptions:
        print_table(("service", "plan"), [(one.service, one.plan_id) for one in opened.subscriptions])
        click.echo(f"Make a key with `ordergate key create {opened.account.id}`.")
    else:
        click.echo(
            f"No service has a plan for {kind} accounts in {currency} yet: publish one, then "
            f"`ordergate account subscribe {opened.account.id} SERVICE=PLAN`."
        )


@account.command(name="list")
@json_option
def list_(as_json: bool) -> None:
    """All accounts."""
    accounts = session().read(list_accounts)
    if as_json:
        print_json(accounts)
        return
    print_table(
        ("id", "name", "kind", "currency", "time zone", "title"),
        [(one.id, one.name, one.kind, one.currency, one.timezone, one.title.en) for one in accounts],
    )


@account.command()
@click.argument("account")
@json_option
def show(account: str, as_json: bool) -> None:
    """One account with applications, subscriptions and keys."""

    async def work(transaction: Transaction) -> AccountView:
        found = await find_account(transaction, account)
        return AccountView(
            found,
            await list_applications(transaction, found),
            await list_cost_centres(transaction, found),
            await list_subscriptions(transaction, found),
            await list_keys(transaction, found),
        )

    view = session().read(work)
    if as_json:
        print_json(view)
        return
    one = view.account
    zone, addressee = one.timezone, "complete" if one.billing_profile else "missing"
    print_table(
        ("id", "name", "kind", "currency", "time zone", "billing profile"),
        [(one.id, one.name, one.kind, one.currency, one.timezone, addressee)],
    )
    centres = {centre.id: centre.name for centre in view.cost_centres}
    _section(
        ("application", "name", "cost centre"),
        [(app.id, app.name, centres.get(app.cost_centre_id or "", "")) for app in view.applications],
    )
    _section(
        ("service", "plan", "since", "until"),
        [
            (sub.service, sub.plan_id, on_clock_of(zone, sub.starts_at), on_clock_of(zone, sub.ends_at))
            for sub in view.subscriptions
        ],
    )
    _section(
        ("key", "scopes", "made", "revoked"),
        [
            (
                key.shown,
                ", ".join(key.scopes),
                on_clock_of(zone, key.created_at),
                on_clock_of(zone, key.revoked_at),
            )
            for key in view.keys
        ],
    )


def _section(columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    if listed := list(rows):
        click.echo()
        print_table(columns, listed)


@account.command()
@click.argument("account")
@click.argument("plans", type=_Plan(), nargs=-1, required=True, metavar="SERVICE=PLAN…")
@click.option("--keep-prices", is_flag=True, help="Keep today's prices whatever the plan charges later.")
def subscribe(account: str, plans: tuple[tuple[str, str], ...], keep_prices: bool) -> None:
    """Subscribe an account to plans from now on."""

    async def work(transaction: Transaction, by: By) -> None:
        found = await find_account(transaction, account)
        for service, plan in plans:
            await subscribe_account(
                transaction,
                found,
                service,
                plan,
                by.now,
                actor=by.actor,
                now=by.now,
                by_operator=True,
                keep_prices=keep_prices,
            )

    session().act(work)
    click.echo(f"{account} is subscribed to {', '.join(f'{service} ({plan})' for service, plan in plans)}.")


@account.command()
@click.argument("account")
@click.argument("service")
def unsubscribe(account: str, service: str) -> None:
    """End a subscription to a service now. What was used is still billed."""

    async def work(transaction: Transaction, by: By) -> None:
        found = await find_account(transaction, account)
        await end_subscription(transaction, found, service, actor=by.actor, now=by.now)

    session().act(work)
    click.echo(f"{account} is no longer subscribed to {service}.")
