"""Prepaid credit: grants, each with an amount, a priority and an expiry, and how they stand."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

from billing.ledger.accounts import BANK, HOUSE, PREPAID, PROMOTIONS
from billing.ledger.post import Entry, post
from billing.transaction import Connection
from catalog.accounts.account import Account
from catalog.registry import audit
from catalog.vocabulary.ids import Environment, new_id
from catalog.vocabulary.money import exponent, plain, round_money
from catalog.vocabulary.problem import FieldError, Problem

Category = Literal["paid", "promotional"]
PRIORITY_DEFAULT = 100
_PRIORITY_MAX = 1000
_REFERENCE_MAX = 100
_AMOUNT_MAX = Decimal(10**12)

# What of a grant has paid documents, less what came back to it: SQL, beside a row of `billing.credit_grant`.
APPLIED = """(
    coalesce((SELECT sum(applied) FROM billing.credit_application WHERE grant_id = credit_grant.id), 0)
    - coalesce((SELECT sum(amount) FROM billing.credit_restoration
                WHERE grant_id = credit_grant.id AND restored_to = grant_id), 0))
"""
# Consumed by priority, then what expires soonest, then the oldest: as `billing.lease.take` takes them.
_GRANTS = f"""
    SELECT credit_grant.id, amount, currency, category, priority, valid_from, valid_until, granted_at, used, leased,
           {APPLIED} AS applied,
           (SELECT amount FROM billing.credit_expiry WHERE grant_id = credit_grant.id) AS expired
    FROM billing.credit_grant
    JOIN billing.allowance ON kind = 'credit' AND subject = credit_grant.id AND allowance.account_id = credit_grant.account_id
    WHERE credit_grant.account_id = $1 AND credit_grant.environment = $2
    ORDER BY priority, valid_until NULLS LAST, granted_at, credit_grant.id
"""  # noqa: S608 - constants of this file
_LOCK = "SELECT FROM billing.allowance WHERE account_id = $1 AND environment = $2 AND kind = 'credit' ORDER BY id FOR UPDATE"


class Grant(msgspec.Struct, frozen=True):
    """A grant. `used` is what calls have taken at list price and documents in the end, `reserved` what workers hold;
    `applied` has paid issued documents, less what came back when they were lowered; `expired` is what lapsed, None while it is valid."""

    id: str
    amount: Decimal
    currency: str
    category: Category
    priority: int
    valid_from: datetime
    valid_until: datetime | None
    granted_at: datetime
    used: Decimal
    reserved: Decimal
    applied: Decimal
    expired: Decimal | None

    def is_valid(self, moment: datetime) -> bool:
        """Whether calls of a moment may take of it."""
        return self.valid_from <= moment and not self.is_over(moment)

    def is_over(self, moment: datetime) -> bool:
        """Whether its time has ended by a moment."""
        return self.valid_until is not None and self.valid_until <= moment


async def grant_credit(
    connection: Connection,
    account: Account,
    environment: Environment,
    amount: Decimal,
    *,
    category: Category,
    priority: int,
    valid_until: datetime | None,
    actor: str,
    now: datetime,
    reference: str | None = None,
    pay_in_advance: bool = True,
) -> Grant:
    """Give an account credit from now on, posted as held for it and audited; the caller commits.

    With its first paid grant an account pays in advance from then on, which has to be meant (`pay_in_advance`). The same
    `reference` again, with the same terms, answers the grant that it made. `Problem` invalid-input for an amount that is no
    positive number of minor units, a priority outside 0 to 1000, an expiry that is past or a reference that is empty or long;
    conflict for a reference that asked for something else, for a first paid grant that was not meant as one, and where a
    provider collects for the account: it pays afterwards or in advance, not both.
    """
    _check(account, amount, priority, valid_until, reference, now)
    # Two who grant at once see each other.
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"billing.grant/{environment}/{account.id}"
    )
    if reference is not None:
        asked = amount, category, priority, valid_until
        if (made := await _made_before(connection, account, environment, reference, asked)) is not None:
            return made
    if category == "paid" and not pay_in_advance:
        await _check_pays_in_advance(connection, account, environment)
    if await is_collected(connection, account.id):
        raise Problem(
            "conflict", f"A provider collects from {account.name}; it cannot pay in advance as well."
        )
    zero = Decimal(0)
    grant = Grant(
        new_id("grant"),
        amount,
        account.currency,
        category,
        priority,
        now,
        valid_until,
        now,
        used=zero,
        reserved=zero,
        applied=zero,
        expired=None,
    )
    await open_grant(connection, account.id, environment, grant, actor, reference)
    await post(
        connection,
        "grant",
        f"credit_grant:{grant.id}",
        environment,
        now,
        [
            Entry(HOUSE, BANK if category == "paid" else PROMOTIONS, account.currency, amount),
            Entry(account.id, PREPAID, account.currency, -amount),
        ],
    )
    credit = {"amount": plain(amount), "currency": account.currency, "category": category}
    detail = {**credit, "environment": environment, "account": account.id}
    await audit.append(connection, actor, "credit.grant", f"grant/{grant.id}", detail, now)
    return next(one for one in await grants_of(connection, account.id, environment) if one.id == grant.id)


async def _made_before(
    connection: Connection,
    account: Account,
    environment: Environment,
    reference: str,
    asked: tuple[Decimal, Category, int, datetime | None],
) -> Grant | None:
    made = await connection.fetchval(
        "SELECT id FROM billing.credit_grant WHERE account_id = $1 AND environment = $2 AND reference = $3",
        account.id,
        environment,
        reference,
    )
    if made is None:
        return None
    grant = next(one for one in await grants_of(connection, account.id, environment) if one.id == made)
    if (grant.amount, grant.category, grant.priority, grant.valid_until) != asked:
        raise Problem(
            "conflict",
            f"{reference} has made {grant.id} of {plain(grant.amount)} {grant.currency} on other terms: write another reference.",
        )
    return grant


async def _check_pays_in_advance(connection: Connection, account: Account, environment: Environment) -> None:
    if await connection.fetchval(
        "SELECT EXISTS (SELECT FROM billing.credit_grant "
        "WHERE account_id = $1 AND environment = $2 AND category = 'paid')",
        account.id,
        environment,
    ):
        return
    detail = (
        f"{account.name} pays afterwards; with its first paid grant every {environment} call of it beyond its credit is refused "
        "from then on, for good: confirm that this is meant, or give promotional credit, which stops nobody"
    )
    raise Problem("conflict", f"{detail}.", errors=(FieldError("/pay_in_advance", "confirmation", detail),))


async def open_grant(
    connection: Connection,
    account_id: str,
    environment: Environment,
    grant: Grant,
    granted_by: str,
    reference: str | None = None,
) -> None:
    """Write a new grant down, with nothing used of it; whoever calls posts its other side and commits."""
    await connection.execute(
        "INSERT INTO billing.credit_grant (id, account_id, environment, amount, currency, category, priority, valid_from, "
        "valid_until, granted_at, granted_by, reference) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        grant.id,
        account_id,
        environment,
        grant.amount,
        grant.currency,
        grant.category,
        grant.priority,
        grant.valid_from,
        grant.valid_until,
        grant.granted_at,
        granted_by,
        reference,
    )
    await connection.execute(
        "INSERT INTO billing.allowance (account_id, environment, kind, subject, starts_on, used) "
        "VALUES ($1, $2, 'credit', $3, $4, 0)",
        account_id,
        environment,
        grant.id,
        grant.granted_at.date(),
    )


async def is_collected(connection: Connection, account_id: str) -> bool:
    """Whether a payment provider collects from an account now."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM billing.payment_account WHERE account_id = $1 AND enabled)", account_id
    )
    return found


async def lock_grants(connection: Connection, account_id: str, environment: Environment) -> bool:
    """Whether an account has grants; until the transaction ends nobody else takes of them or gives back."""
    return bool(await connection.fetch(_LOCK, account_id, environment))


async def grants_of(connection: Connection, account_id: str, environment: Environment) -> Sequence[Grant]:
    """All grants of an account, in the order in which they are consumed."""
    rows = await connection.fetch(_GRANTS, account_id, environment)
    return [Grant(*row) for row in rows]


def _check(
    account: Account,
    amount: Decimal,
    priority: int,
    valid_until: datetime | None,
    reference: str | None,
    now: datetime,
) -> None:
    errors: list[FieldError] = []
    if reference is not None and not 1 <= len(reference.strip()) <= _REFERENCE_MAX:
        errors.append(FieldError("/reference", "length", f"write 1 to {_REFERENCE_MAX} characters"))
    if not 0 < amount <= _AMOUNT_MAX or round_money(amount, account.currency) != amount:
        places = exponent(account.currency)
        errors.append(
            FieldError("/amount", "amount", f"a positive amount with at most {places} decimal places")
        )
    if not 0 <= priority <= _PRIORITY_MAX:
        errors.append(FieldError("/priority", "range", f"0 to {_PRIORITY_MAX}; the lowest is consumed first"))
    if valid_until is not None and valid_until <= now:
        errors.append(
            FieldError(
                "/expires",
                "future",
                "write a day that is still to come, or leave it out for credit that does not expire",
            )
        )
    if errors:
        raise Problem("invalid-input", errors[0].detail, errors=tuple(errors))
