"""Acceptance: the open results of a month become usage, all of them in one statement."""

from datetime import datetime

from billing.result.month import Shares, StatedMonth
from billing.result.rows import RESULTS, SHARED, ResultSum, asked, sums_of
from billing.store.amend import AMENDING
from billing.transaction import Connection

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


async def accept_open(
    transaction: Connection, month: StatedMonth, shares: Shares, actor: str, at: datetime
) -> tuple[ResultSum, ...]:
    """Make usage of every open result of a month, in the caller's transaction, which holds the account's results; what
    was accepted, by line. `at` is the time of the books. Never commits."""
    if not shares.prices:
        return ()
    await transaction.execute(f"SET LOCAL statement_timeout = '{_PATIENCE_S}s'")
    rows = await transaction.fetch(_ACCEPT, *asked(month, shares), at, actor, timeout=_PATIENCE_S)
    accepted = sums_of(rows)
    assert all(
        (row["amended"], row["accepted"]) == (sum(one.results for one in accepted),) * 2 for row in rows
    ), "each result amends one stored call"
    return accepted
