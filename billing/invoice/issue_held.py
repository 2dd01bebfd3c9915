"""A person has looked at a bill that was held: it is issued as it stands."""

import asyncpg

from billing.invoice.close_account import IssuedDocument, close_account, read_agreed
from billing.invoice.month import Month, lock_books, payer_of
from billing.transaction import all_accounts
from catalog.registry import audit
from catalog.vocabulary.clock import Clock, from_ns
from catalog.vocabulary.money import plain
from catalog.vocabulary.problem import Problem


async def issue_held(pool: asyncpg.Pool, month: Month, *, actor: str, clock: Clock) -> IssuedDocument:
    """Issue the held document of a month, and write down who released it.

    `Problem` not-found without such an account; conflict where its document is not held, or an earlier one is.
    """
    async with all_accounts(pool) as connection:
        payer = await payer_of(connection, month.account_id)
        await lock_books(connection, payer.id, month.environment)
        held = await connection.fetchval(
            "SELECT held FROM billing.invoice "
            "WHERE account_id = $1 AND environment = $2 AND period = $3 AND state = 'draft'",
            payer.id,
            month.environment,
            month.period.first_day,
        )
        if not held:
            raise Problem(
                "conflict", f"{payer.name} has no document of {month.period} that is held for review."
            )
        agreed = await read_agreed(connection, month.period, payer.id)
        now = payer.now_in(month.environment, from_ns(clock.now_ns()))
        issued, left = await close_account(
            connection, payer, month.environment, month.period, agreed, now, approved=month.period
        )
        for one in left:
            reason = one.reason or f"missing {', '.join(one.missing)}"
            raise Problem("conflict", f"The document of {one.period} is not issued yet: {reason}.")
        (document,) = (one for one in issued if one.period == str(month.period))
        detail = {
            "held": held,
            "period": document.period,
            "environment": document.environment,
            "number": document.number,
            "total": plain(document.total),
        }
        await audit.append(connection, actor, "invoice.approve", f"account/{payer.id}", detail, now)
        return document
