"""An issued document is paid from the credit that its calls have taken, and the difference to the list price settled.

Call by call the list price was taken of a grant. The month's rating says what it comes to: where that is less (a cheaper
tier, a discount) the rest is free again; where it is more (a whole package, a minimum) more is taken of what is left. What
no credit covers stays receivable.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal

from billing.ledger.accounts import PREPAID, RECEIVABLE
from billing.ledger.post import Entry, post
from billing.prepaid.grants import Grant, grants_of, lock_grants
from billing.transaction import Connection
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import EXACT, exponent, round_money
from catalog.vocabulary.period import Period

# The last moment of a month.
_MOMENT = timedelta(microseconds=1)
# As everywhere: what was captured by now, minus what documents have taken in before. That is what was taken for months whose
# document is issued, this one among them, and for earlier ones that have none: usage that came late for an issued month may have
# been expected on the running month's document and be on a later one.
_CAPTURED = """
    SELECT subject, greatest(taken - coalesce(
        (SELECT sum(captured) FROM billing.credit_application WHERE grant_id = subject), 0), 0) AS captured
    FROM (SELECT subject, sum(lease.used) AS taken
          FROM billing.allowance JOIN billing.lease ON allowance_id = allowance.id
          WHERE allowance.account_id = $1 AND allowance.environment = $2 AND kind = 'credit' AND lease.state = 'closed'
            AND NOT EXISTS (SELECT FROM billing.credit_expiry WHERE grant_id = subject)
            AND period <= (SELECT max(period) FROM billing.invoice
                           WHERE account_id = $1 AND environment = $2 AND state = 'issued')
            AND period <> ALL (ARRAY(SELECT period FROM billing.invoice
                                     WHERE account_id = $1 AND environment = $2 AND state = 'draft'))
          GROUP BY subject) AS taken_of
"""
_HELD = """
    SELECT EXISTS (SELECT FROM billing.lease JOIN billing.allowance ON allowance.id = allowance_id
    WHERE allowance.account_id = $1 AND environment = $2 AND kind = 'credit' AND period <= $3 AND state <> 'closed')
"""


class CreditHeld(Exception):
    """Workers still hold credit for calls of the month or an earlier one: what it has paid is not known yet."""

    def __init__(self, account_id: str) -> None:
        """Repeating the close later is the remedy; `account_id` is whose credit it is."""
        super().__init__(
            f"workers still hold prepaid credit of {account_id} for calls of the month: repeat the close in a minute; "
            "what dead workers held is settled when their journals are shipped"
        )


async def apply_credit(
    connection: Connection,
    account_id: str,
    environment: Environment,
    invoice_id: str,
    period: Period,
    ends_at: datetime,
    total: Decimal,
    currency: str,
    now: datetime,
) -> Decimal:
    """Pay a document of `total` from the account's credit, in the transaction that issues it; returns what was paid.

    Raises `CreditHeld` while a worker holds credit for calls of the month. `ends_at` is the end of the month: grants that are
    valid then pay what calls have not taken already.
    """
    if not await lock_grants(connection, account_id, environment):
        return Decimal(0)
    if await connection.fetchval(_HELD, account_id, environment, period.first_day):
        raise CreditHeld(account_id)
    grants = await grants_of(connection, account_id, environment)
    rows = await connection.fetch(_CAPTURED, account_id, environment)
    captured: Mapping[str, Decimal] = {row["subject"]: row["captured"] for row in rows}
    applied = share_out(grants, captured, total, currency, ends_at)
    for grant in grants:
        taken, paid = captured.get(grant.id, Decimal(0)), applied.get(grant.id, Decimal(0))
        if taken or paid:
            await _record(connection, account_id, grant.id, invoice_id, period, taken, paid, now)
    whole = sum(applied.values(), Decimal(0))
    if whole:
        await post(
            connection,
            "prepaid",
            f"invoice:{invoice_id}",
            environment,
            now,
            [
                Entry(account_id, PREPAID, currency, whole),
                Entry(account_id, RECEIVABLE, currency, -whole),
            ],
        )
    return whole


def share_out(
    grants: Sequence[Grant], captured: Mapping[str, Decimal], total: Decimal, currency: str, ends_at: datetime
) -> dict[str, Decimal]:
    """What of each grant pays a document: first what calls took of it, then what is free; in whole minor units.

    The counter says what calls have taken; what has paid documents or lapsed is on record, and no counter that came back
    empty lets it pay again.
    """
    minor = Decimal(1).scaleb(-exponent(currency))
    left = max(total, Decimal(0))
    paid: dict[str, Decimal] = {}
    free: dict[str, Decimal] = {}
    for grant in grants:
        taken = captured.get(grant.id, Decimal(0))
        counted = grant.amount - grant.used - grant.reserved + taken
        within = min(counted, grant.amount - grant.applied - (grant.expired or 0))
        free[grant.id] = max(within, Decimal(0)).quantize(minor, rounding=ROUND_DOWN, context=EXACT)
        paid[grant.id] = min(left, round_money(taken, currency), free[grant.id])
        left -= paid[grant.id]
    for grant in grants:
        if grant.is_valid(ends_at - _MOMENT):
            more = min(left, free[grant.id] - paid[grant.id])
            paid[grant.id] += more
            left -= more
    return paid


async def _record(
    connection: Connection,
    account_id: str,
    grant_id: str,
    invoice_id: str,
    period: Period,
    captured: Decimal,
    applied: Decimal,
    now: datetime,
) -> None:
    await connection.execute(
        "INSERT INTO billing.credit_application (grant_id, invoice_id, account_id, period, captured, applied, applied_at) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7)",
        grant_id,
        invoice_id,
        account_id,
        period.first_day,
        captured,
        applied,
        now,
    )
    await connection.execute(
        "UPDATE billing.allowance SET used = used - $3 + $4 WHERE account_id = $1 AND kind = 'credit' AND subject = $2",
        account_id,
        grant_id,
        captured,
        applied,
    )
