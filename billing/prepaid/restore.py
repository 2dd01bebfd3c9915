"""Credit comes back where a document that it paid is lowered, to the grants that it was drawn from.

The grant that was drawn from last gets its part first, so that what stays drawn is what a lower document would have
taken. Where a grant's time is over, what was paid for comes back as a new grant for as long again: it had been spent in time,
on what turned out not to be owed. What was a gift ends with its time. Where a provider collects from the account by now,
it no longer pays in advance: what was paid for is owed to it in money, and a gift is never paid out.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

from billing.ledger.accounts import HOUSE, PREPAID, PROMOTIONS, RECEIVABLE
from billing.ledger.post import Entry, post
from billing.prepaid.grants import Grant, grants_of, is_collected, open_grant
from billing.transaction import Connection
from catalog.outbox import announce
from catalog.vocabulary.ids import Environment, new_id
from catalog.vocabulary.money import plain

Became = Literal["credit", "lapsed", "owed"]

_DRAWN = """
    SELECT grant_id, applied - coalesce((SELECT sum(amount) FROM billing.credit_restoration AS back
                                         WHERE (back.grant_id, back.invoice_id) = (paid.grant_id, paid.invoice_id)), 0) AS left
    FROM billing.credit_application AS paid WHERE invoice_id = $1
"""


async def restore_credit(
    connection: Connection,
    account_id: str,
    environment: Environment,
    invoice_id: str,
    amount: Decimal,
    now: datetime,
) -> None:
    """Give back this much of the credit that paid a document, each part with its posting; the caller commits.

    It holds the account's grants (`lock_grants`), and gives back no more than was drawn for the document.
    """
    drawn = {row["grant_id"]: row["left"] for row in await connection.fetch(_DRAWN, invoice_id)}
    grants = await grants_of(connection, account_id, environment)
    collected = environment == "live" and await is_collected(connection, account_id)
    for grant, part in given_back(grants, drawn, amount):
        became = becomes(grant, collected, now)
        to = None
        if became == "credit":
            to = await _restored_to(connection, account_id, environment, grant, part, now)
        restoration_id = await connection.fetchval(
            "INSERT INTO billing.credit_restoration (grant_id, invoice_id, account_id, amount, became, restored_to, restored_at) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
            grant.id,
            invoice_id,
            account_id,
            part,
            became,
            to,
            now,
        )
        if became != "owed":
            other_side = (account_id, PREPAID) if became == "credit" else (HOUSE, PROMOTIONS)
            entries = [
                Entry(account_id, RECEIVABLE, grant.currency, part),
                Entry(*other_side, grant.currency, -part),
            ]
            source = f"credit_restoration:{restoration_id}"
            await post(connection, "restoration", source, environment, now, entries)
        if became == "credit":
            told = {"grant": to, "amount": plain(part), "currency": grant.currency, "document_id": invoice_id}
            await announce(connection, account_id, environment, "credit.restored", told, now)


def given_back(
    grants: Sequence[Grant], drawn: Mapping[str, Decimal], amount: Decimal
) -> Iterator[tuple[Grant, Decimal]]:
    """Which grant gets how much of an amount: the last in the order in which they are consumed its whole part first.

    `drawn` is what of each grant still pays the document; no less than `amount` together.
    """
    for grant in reversed(grants):
        part = min(amount, drawn.get(grant.id, Decimal(0)))
        if part > 0:
            amount -= part
            yield grant, part
    assert not amount, "no more comes back than was drawn"


def becomes(grant: Grant, collected: bool, now: datetime) -> Became:
    """What becomes of a part of a grant that comes back now; `collected`: a provider collects from its account."""
    if grant.category == "promotional" and (grant.is_over(now) or collected):
        return "lapsed"
    return "owed" if collected else "credit"


async def _restored_to(
    connection: Connection,
    account_id: str,
    environment: Environment,
    grant: Grant,
    part: Decimal,
    now: datetime,
) -> str:
    """The grant itself with so much less used of it; or a new one with its terms, where its time is over."""
    if grant.valid_until is None or not grant.is_over(now):
        await connection.execute(
            "UPDATE billing.allowance SET used = used - $3 WHERE account_id = $1 AND kind = 'credit' AND subject = $2",
            account_id,
            grant.id,
            part,
        )
        return grant.id
    again = now + (grant.valid_until - grant.valid_from)
    new = msgspec.structs.replace(
        grant, id=new_id("grant"), amount=part, valid_from=now, valid_until=again, granted_at=now
    )
    await open_grant(connection, account_id, environment, new, f"grant/{grant.id}")
    return new.id
