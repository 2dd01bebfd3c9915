"""Usage rows -> hourly sums, and those of the service level: each row exactly once, however late its transaction commits.

The watermark is a transaction id. A transaction that is still running when we look may have stored rows already and
commit them later, with ids and times below others that we have seen; a watermark of time or of sequence would pass
them by. Transaction ids have a horizon instead: `pg_snapshot_xmin(pg_current_snapshot())` is the oldest id still
running, so everything below it has ended and its rows are visible now or never will be. We take the rows from the last
horizon up to the present one and not a row beyond. The price: one long writing transaction delays the sums of all.
"""

import msgspec

from billing.rollup.service_level import LATENCY_DAY, SERVICE_INTERVAL
from billing.rollup.usage_hour import GROUPED_USAGE, KEY_LIST, SUM_LIST, SUMS
from billing.transaction import Connection

EVENTS_MAX = 50_000

_HORIZON = """
    SELECT xid AS low, pg_snapshot_xmin(pg_current_snapshot()) AS horizon FROM billing.watermark WHERE step = 'rollup'
"""
# The rows of one transaction share its id and cannot be divided: the bound is the first id beyond the batch.
_BOUND = """
    SELECT stored_xid FROM billing.usage_event WHERE stored_xid >= $1::xid8 AND stored_xid < $2::xid8
     ORDER BY stored_xid OFFSET $3 LIMIT 1
"""
_TAKEN = """
    SELECT count(*) AS events, array_agg(DISTINCT event.payer) FILTER (WHERE account.id IS NULL) AS strangers
      FROM billing.usage_event AS event LEFT JOIN catalog.account AS account ON account.id = event.payer
     WHERE event.stored_xid >= $1::xid8 AND event.stored_xid < $2::xid8
"""
_ADVANCE = "UPDATE billing.watermark SET xid = $2::xid8 WHERE step = 'rollup' AND xid = $1::xid8"
# A mark that exists already is written again: the lock on it makes a rater that is about to take the mark wait for
# these sums. `DO NOTHING` would let it take the mark, rate without them and leave them unrated.
_ADD_UP = f"""
    WITH added AS MATERIALIZED (
        INSERT INTO billing.usage_hour AS hour ({KEY_LIST}, {SUM_LIST})
        {GROUPED_USAGE}
        ON CONFLICT ({KEY_LIST}) DO UPDATE
        SET {", ".join(f"{name} = hour.{name} + excluded.{name}" for name in SUMS)}
        RETURNING account_id, environment, period, operation
    )
    INSERT INTO billing.unrated (account_id, environment, period)
    SELECT DISTINCT account_id, environment, period FROM ({{moved}}) AS moved ORDER BY 1, 2, 3
    ON CONFLICT (account_id, environment, period) DO UPDATE SET period = excluded.period
"""  # noqa: S608 - constants of this package
_MOVED = "TABLE added"
# The rate of a success price is taken of all accounts or of one, and of the month or of the three that end with it: what
# moved there moves the months that were rated by it. All marks in one statement and one order, or raters could deadlock.
_MOVED_BY_SUCCESS = """
    TABLE added UNION
    SELECT line.account_id, line.environment, line.period, line.operation
    FROM added JOIN catalog.price_version AS priced ON priced.operation = added.operation AND model = 'success_tiered'
    JOIN billing.rated_line AS line ON line.price_version = priced.id AND line.environment = added.environment
     AND line.period BETWEEN added.period AND added.period + interval '2 months'
     AND (line.account_id = added.account_id OR priced.price ->> 'measured_on' = 'service')
"""
_HAS_SUCCESS_PRICES = "SELECT EXISTS (SELECT FROM catalog.price_version WHERE model = 'success_tiered')"


class UnknownPayer(Exception):
    """Usage of accounts that the catalogue does not have: without a time zone it belongs to no month."""

    def __init__(self, payers: list[str]) -> None:
        """`payers` are the unknown account ids."""
        super().__init__(f"usage is stored for accounts that do not exist: {', '.join(sorted(payers))}")
        self.payers = payers


class RolledUp(msgspec.Struct, frozen=True):
    """How many usage rows one batch added up, and whether there are more to take at once."""

    events: int
    more: bool


async def roll_up(connection: Connection, *, events_max: int = EVENTS_MAX) -> RolledUp:
    """Add one batch of new usage rows to the hourly sums and mark what moved for rating, in the caller's transaction.

    Takes about `events_max` rows, more only where one transaction stored more. Safe to run in several processes: one
    takes the batch, the others nothing. Raises `UnknownPayer`; the caller then rolls back.
    """
    horizon = await connection.fetchrow(_HORIZON)
    assert horizon is not None, "the migrations make the watermark"
    low, high = horizon
    bound = await connection.fetchval(_BOUND, low, high, events_max)
    if bound is not None:
        first = await connection.fetchval(_BOUND, low, high, 0)
        high = max(bound, first + 1)
    taken = await connection.fetchrow(_TAKEN, low, high)
    assert taken is not None, "an aggregate has one row"
    events, strangers = taken
    if strangers:
        raise UnknownPayer(strangers)
    if events == 0:
        return RolledUp(0, more=False)
    if await connection.execute(_ADVANCE, low, high) != "UPDATE 1":
        return RolledUp(0, more=True)
    moved = _MOVED_BY_SUCCESS if await connection.fetchval(_HAS_SUCCESS_PRICES) else _MOVED
    await connection.execute(_ADD_UP.format(moved=moved), low, high)
    for summed in (SERVICE_INTERVAL, LATENCY_DAY):
        await connection.execute(summed.add_up, low, high)
    return RolledUp(events, more=bound is not None)
