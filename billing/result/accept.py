"""Acceptance: the open results of a month become usage, all of them in one statement, and count against the limits that there
are. They have happened, so no limit refuses them; what is left may become less than nothing.
"""

from datetime import datetime
from decimal import Decimal

import asyncpg
import msgspec

from billing.lease.begin import keep_limits
from billing.lease.reported import count_reports
from billing.result.month import Shares, StatedMonth
from billing.result.rows import RESULTS, SHARED, ResultSum, asked, sums_of
from billing.store.amend import AMENDING
from billing.transaction import Connection
from catalog.limit import Quota
from catalog.plan import list_amount
from catalog.plan.price import Outcome
from catalog.vocabulary.clock import to_ns

# A hundred thousand results take some seconds.
_PATIENCE_S = 60
# The id of an amending row is of the milliseconds of what it amends (UUIDv7, RFC 9562), and otherwise random.
_ACCEPT = f"""
    WITH {RESULTS},
    amendment AS MATERIALIZED (
        SELECT result.*, share, call_id AS amends, value AS units,
               (left(call_id::text, 15) || substr(gen_random_uuid()::text, 16))::uuid AS id
        FROM {SHARED} WHERE state = 'stated'),
    amended AS ({AMENDING} RETURNING amends),
    accepted AS (
        INSERT INTO billing.result_step (result_id, step, account_id, environment, period, call_id, operation, subscription_id,
                                         price_version, kind, value, words, amendment_id, taken_at, taken_by)
        SELECT result_id, step + 1, $1, $2, $3, call_id, operation, subscription_id, price_version, 'accepted', value, '', id,
               $16, $17
        FROM amendment RETURNING result_id)
    SELECT subscription_id, operation, price_version, 'accepted' AS state, count(*) AS results, sum(value) AS value,
           sum(share) AS share,
           (SELECT count(*) FROM amended) AS amended, (SELECT count(*) FROM accepted) AS accepted
    FROM amendment GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""  # noqa: S608 - constants of this product


# Of an account without any limit nothing is counted, however many its results are.
_LIMITED = "SELECT EXISTS (SELECT FROM billing.allowance WHERE account_id = $1 AND environment = $2)"
_MADE = """
    SELECT operation, application_id, cost_centre_id, occurred_at, price_version, units FROM billing.usage_event
    WHERE stored_xid = pg_current_xact_id() AND account_id = $1 AND environment = $2 AND amends IS NOT NULL
"""


class _Call(msgspec.Struct, frozen=True):
    """The call that a result belongs to."""

    operation: str
    application_id: str
    cost_centre_id: str
    occurred_at_ns: int


class _Counted(msgspec.Struct, frozen=True):
    """An accepted result as limits count it: at list price, in the month of its call; it is no call."""

    event: _Call
    charge: Decimal
    quotas: tuple[Quota, ...] = ()


async def accept_open(
    transaction: Connection, month: StatedMonth, shares: Shares, actor: str, at: datetime, now: datetime
) -> tuple[ResultSum, ...]:
    """Make usage of every open result of a month, in the caller's transaction, which holds the account's results and amends
    nothing else; what was accepted, by line. `at` is the time of the books, `now` that of day. Never commits."""
    if not shares.prices:
        return ()
    await keep_limits(transaction, month.account_id)
    await transaction.execute(f"SET LOCAL statement_timeout = '{_PATIENCE_S}s'")
    rows = await transaction.fetch(_ACCEPT, *asked(month, shares), at, actor, timeout=_PATIENCE_S)
    accepted = sums_of(rows)
    assert all(
        (row["amended"], row["accepted"]) == (sum(one.results for one in accepted),) * 2 for row in rows
    ), "each result amends one stored call"
    if accepted and await transaction.fetchval(_LIMITED, month.account_id, month.environment):
        terms = dict(zip(shares.prices, shares.terms, strict=True))
        made = await transaction.fetch(_MADE, month.account_id, month.environment, timeout=_PATIENCE_S)
        usage = [_counted(row, terms[row["price_version"]]) for row in made]
        await count_reports(transaction, month.account_id, month.environment, month.timezone, usage, now)
    return accepted


def _counted(row: asyncpg.Record, price: Outcome) -> _Counted:
    occurred_at_ns = to_ns(row["occurred_at"])
    call = _Call(row["operation"], row["application_id"], row["cost_centre_id"], occurred_at_ns)
    return _Counted(call, list_amount(price, row["units"]))
