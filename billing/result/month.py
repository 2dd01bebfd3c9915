"""Whose results, of which month, and the prices that take a share of them."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

import msgspec

from billing.store.usage_row import ids_between
from billing.transaction import Connection
from catalog.plan.price import Outcome
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import EXACT
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Problem

OF_OUTCOME = "price_version IN (SELECT id FROM catalog.price_version WHERE model = 'outcome')"
"""For SQL: what was called under a share of results."""

_TERMS = """
    SELECT id, price FROM catalog.price_version WHERE model = 'outcome' AND id IN (
        SELECT price_version FROM billing.usage_hour WHERE account_id = $1 AND environment = $2 AND period = $3
        UNION SELECT price_version FROM billing.result_step WHERE account_id = $1 AND environment = $2 AND period = $3)
    ORDER BY id
"""
# Under which name the meter of each version of an operation keeps the field that a price takes its share of. An interface
# belongs to its version; were two of one version published, the later one counts.
_KEPT = """
    SELECT DISTINCT ON (price.id, passport.version) price.id, passport.version, dimension.key AS name
    FROM catalog.price_version AS price JOIN catalog.passport ON passport.service = price.service
    CROSS JOIN jsonb_array_elements(passport.document -> 'operations') AS entry
    CROSS JOIN jsonb_each_text(entry -> 'meter' -> 'dimensions') AS dimension
    WHERE price.id = ANY($1) AND entry ->> 'id' = split_part(price.operation, '/', 2)
      AND dimension.value = price.price ->> 'of'
    ORDER BY price.id, passport.version, passport.revision DESC, dimension.key
"""


class StatedMonth(msgspec.Struct, frozen=True):
    """An account's month in one environment, on its own calendar (an IANA zone)."""

    account_id: str
    environment: Environment
    period: Period
    timezone: str

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """The calls' moments, end-exclusive."""
        return self.period.bounds(self.timezone)

    @property
    def ids(self) -> tuple[UUID, UUID]:
        """Bounds of the calls' ids, end-exclusive."""
        return ids_between(self.environment, *self.bounds)


class Shares(msgspec.Struct, frozen=True):
    """The `outcome` prices of a month, and where calls keep what their replies stated: parallel columns for SQL."""

    prices: tuple[str, ...]
    terms: tuple[Outcome, ...]
    kept_prices: tuple[str, ...]
    kept_versions: tuple[str, ...]
    kept_names: tuple[str, ...]

    @property
    def rates(self) -> list[Decimal]:
        """The share as a factor: 10 % is 0.1."""
        return [Decimal(one.rate_pct).scaleb(-2, context=EXACT) for one in self.terms]

    @property
    def bounds(self) -> tuple[list[Decimal | None], list[Decimal | None]]:
        """The least and the most that one result costs."""
        lows = [None if one.min is None else Decimal(one.min) for one in self.terms]
        return lows, [None if one.max is None else Decimal(one.max) for one in self.terms]


async def shares_of(connection: Connection, month: StatedMonth) -> Shares:
    """The prices of a month's results, as far as its calls are rolled up."""
    rows = await connection.fetch(_TERMS, month.account_id, month.environment, month.period.first_day)
    prices = tuple(row["id"] for row in rows)
    terms = tuple(msgspec.json.decode(row["price"], type=Outcome) for row in rows)
    by_reply = [price for price, one in zip(prices, terms, strict=True) if one.of]
    kept = await connection.fetch(_KEPT, by_reply) if by_reply else []
    return Shares(
        prices,
        terms,
        tuple(row["id"] for row in kept),
        tuple(row["version"] for row in kept),
        tuple(row["name"] for row in kept),
    )


async def hold_results(connection: Connection, account_id: str, environment: Environment) -> None:
    """Until the transaction ends, nobody else says anything about the account's results."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"billing.results/{environment}/{account_id}"
    )


async def stated_month(
    connection: Connection, account_id: str, environment: Environment, period: Period
) -> StatedMonth:
    """The month of an account in scope; `Problem` not-found otherwise."""
    timezone = await connection.fetchval("SELECT timezone FROM catalog.account WHERE id = $1", account_id)
    if timezone is None:
        raise Problem("not-found", f"There is no account {account_id}.")
    return StatedMonth(account_id, environment, period, timezone)
