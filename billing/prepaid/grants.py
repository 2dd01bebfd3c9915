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
_AMOUNT_MAX = Decimal(10**12)

# Consumed by priority, then what expires soonest, then the oldest: as `billing.lease.take` takes them.
_GRANTS = """
    SELECT credit_grant.id, amount, currency, category, priority, valid_from, valid_until, granted_at, used, leased,
           coalesce((SELECT sum(applied) FROM billing.credit_application WHERE grant_id = credit_grant.id), 0) AS applied,
           (SELECT amount FROM billing.credit_expiry WHERE grant_id = credit_grant.id) AS expired
    FROM billing.credit_grant
    JOIN billing.allowance ON kind = 'credit' AND subject = credit_grant.id AND allowance.account_id = credit_grant.account_id
    WHERE credit_grant.account_id = $1 AND credit_grant.environment = $2
    ORDER BY priority, valid_until NULLS LAST, granted_at, credit_grant.id
"""


class Grant(msgspec.Struct, frozen=True):
    """A grant. `used` is what calls have taken at list price and documents in the end, `reserved` what workers hold;
    `applied` has paid issued documents; `expired` is what lapsed, None while it is valid."""

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
        return self.valid_from <= moment and (self.valid_until is None or moment < self.valid_until)


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
) -> Grant:
    """Give an account credit from now on, posted as held for it and audited; the caller commits.

    `Problem` invalid-input for an amount that is no positive number of minor units, a priority outside 0 to 1000 or an
    expiry that is past; conflict where a provider collects for the account: it pays afterwards or in advance, not both.
    """
    _check(account, amount, priority, valid_until, now)
    if await connection.fetchval(
        "SELECT EXISTS (SELECT FROM billing.payment_account WHERE account_id = $1 AND enabled)", account.id
    ):
        raise Problem(
            "conflict", f"A provider collects from {account.name}; it cannot pay in advance as well."
        )
    grant_id = new_id("grant")
    await connection.execute(
        "INSERT INTO billing.credit_grant (id, account_id, environment, amount, currency, category, priority, valid_from, "
        "valid_until, granted_at, granted_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $8, $10)",
        grant_id,
        account.id,
        environment,
        amount,
        account.currency,
        category,
        priority,
        now,
        valid_until,
        actor,
    )
    await connection.execute(
        "INSERT INTO billing.allowance (account_id, environment, kind, subject, starts_on, used) "
        "VALUES ($1, $2, 'credit', $3, $4, 0)",
        account.id,
        environment,
        grant_id,
        now.date(),
    )
    await post(
        connection,
        "grant",
        f"credit_grant:{grant_id}",
        environment,
        now,
        [
            Entry(HOUSE, BANK if category == "paid" else PROMOTIONS, account.currency, amount),
            Entry(account.id, PREPAID, account.currency, -amount),
        ],
    )
    detail = {
        "amount": plain(amount),
        "currency": account.currency,
        "category": category,
        "environment": environment,
    }
    await audit.append(
        connection, actor, "credit.grant", f"grant/{grant_id}", {**detail, "account": account.id}, now
    )
    return next(one for one in await grants_of(connection, account.id, environment) if one.id == grant_id)


async def grants_of(connection: Connection, account_id: str, environment: Environment) -> Sequence[Grant]:
    """All grants of an account, in the order in which they are consumed."""
    rows = await connection.fetch(_GRANTS, account_id, environment)
    return [Grant(*row) for row in rows]


def _check(
    account: Account, amount: Decimal, priority: int, valid_until: datetime | None, now: datetime
) -> None:
    errors: list[FieldError] = []
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
