"""The demo group's accounts, with everything that they need to call and to be billed."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from catalog.accounts.account import Account, create_account
from catalog.accounts.application import (
    DEFAULT_APPLICATION,
    Application,
    create_application,
    create_cost_centre,
)
from catalog.accounts.billing_profile import BillingProfile, set_billing_profile
from catalog.accounts.contract_terms import ContractTerms, set_terms
from catalog.accounts.offer import first_offers, sold_to
from catalog.accounts.seller import read_seller, set_seller
from catalog.accounts.subscription import subscribe
from catalog.registry.published import current
from catalog.transaction import Transaction
from catalog.vocabulary.ids import ENVIRONMENTS, Environment
from catalog.vocabulary.period import Period
from deploy.demo.group import Contract, Group, Member
from gateway.stores.keys import ALL_SCOPES, create_key

ACTOR = "ordergate demo"


class IssuedKey(msgspec.Struct, frozen=True):
    """A key with its secret, as it can be read this once."""

    account: str
    application: str
    environment: Environment
    key: str


async def open_group(
    transaction: Transaction, group: Group, since: Period, peppers: Mapping[int, bytes], now: datetime
) -> tuple[IssuedKey, ...]:
    """Open every member's account and return their keys; the transaction's scope is `*`.

    Each has its contract, and is subscribed, from the first day of `since` on, to the first fitting plan of every public service; each of
    its applications gets a live and a test key.
    """
    if await read_seller(transaction) is None:
        await set_seller(transaction, group.seller, ACTOR, now, demo=True)
    issued: list[IssuedKey] = []
    for member in group.members:
        account = await create_account(
            transaction,
            name=member.name,
            kind=member.kind,
            currency=group.currency,
            timezone=member.timezone,
            actor=ACTOR,
            now=now,
            title=member.title,
            demo=True,
        )
        if member.kind == "external":
            await set_billing_profile(transaction, account, _profile(member), ACTOR, now)
        if member.contract is not None:
            await _agree(transaction, account, member.contract, since, now)
        await _subscribe(transaction, account, since, now)
        for application in await _applications(transaction, account, member, now):
            for environment in ENVIRONMENTS:
                _, key = await create_key(
                    transaction, account, application, environment, ALL_SCOPES, peppers, actor=ACTOR, now=now
                )
                issued.append(IssuedKey(account.name, application.name, environment, key))
    return tuple(issued)


async def _agree(
    transaction: Transaction, account: Account, contract: Contract, since: Period, now: datetime
) -> None:
    terms = ContractTerms(
        "", "", since.first_day, contract.access_fee, contract.discount_pct, contract.minimum
    )
    await set_terms(transaction, account, terms, actor=ACTOR, now=now)


async def _subscribe(transaction: Transaction, account: Account, since: Period, now: datetime) -> None:
    passports = [published.passport for published in (await current(transaction)).values()]
    starts_at, _ = since.bounds(account.timezone)
    sold = await sold_to(transaction, account, now)
    for offer in first_offers(passports, account, now, sold):
        await subscribe(transaction, account, offer.service, offer.plan_id, starts_at, actor=ACTOR, now=now)


async def _applications(
    transaction: Transaction, account: Account, member: Member, now: datetime
) -> list[Application]:
    """One for each cost centre; the usual first one where there are none."""
    if not member.cost_centres:
        return [await create_application(transaction, account, DEFAULT_APPLICATION, ACTOR, now)]
    opened = []
    for name in member.cost_centres:
        cost_centre = await create_cost_centre(transaction, account, name, ACTOR, now)
        opened.append(
            await create_application(transaction, account, name, ACTOR, now, cost_centre=cost_centre)
        )
    return opened


def _profile(member: Member) -> BillingProfile:
    """Billing details that nobody can take for a real company's."""
    number = int(member.name.rpartition("-")[2])
    return BillingProfile(
        legal_name=f"{member.title.chinese()} (demo)",
        address=f"{number} Demo Road, {member.title.en.removesuffix(' Trading')}",
        tax_id=f"DEMO{number:014d}",
    )
