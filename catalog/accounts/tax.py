"""Tax rates by region: what is added to an external account's bill, from a month on."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal

import msgspec

from catalog.accounts.refusal import invalid_fields
from catalog.registry import audit
from catalog.transaction import Transaction, require_transaction
from catalog.vocabulary.iso3166 import is_country
from catalog.vocabulary.money import plain
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import FieldError

_NAME_MAX = 40


class TaxRate(msgspec.Struct, frozen=True):
    """What a region (ISO 3166, two letters) asks for in percent of the net amount; `service` empty: of all that have no
    rate of their own. In force from the first day of a month on until the next one; 0 ends it."""

    region: str
    service: str
    starts_on: date
    name: str
    rate_pct: Decimal


def rates_in(rates: Iterable[TaxRate], region: str, period: Period) -> tuple[TaxRate, ...]:
    """A region's rates in a month, one for each service; `rates` come in the order of their months."""
    by_service = {
        one.service: one for one in rates if one.region == region and one.starts_on <= period.first_day
    }
    return tuple(one for _, one in sorted(by_service.items()) if one.rate_pct)


async def set_tax_rate(transaction: Transaction, rate: TaxRate, *, actor: str, now: datetime) -> None:
    """Write a rate down; issued documents keep what they were issued by. `Problem` invalid-input."""
    require_transaction(transaction)
    errors = []
    if not is_country(rate.region):
        errors.append(FieldError("/region", "region", "use the two letters of ISO 3166, such as CN"))
    if rate.starts_on.day != 1:
        errors.append(FieldError("/starts_on", "whole-months", "a rate changes on the first day of a month"))
    if not rate.name.strip() or len(rate.name) > _NAME_MAX:
        errors.append(FieldError("/name", "length", f"write 1 to {_NAME_MAX} characters, such as VAT"))
    if not 0 <= rate.rate_pct <= 100:
        errors.append(FieldError("/rate_pct", "percentage", "write 0 to 100"))
    if errors:
        raise invalid_fields(errors)
    await transaction.execute(
        """
        INSERT INTO catalog.tax_rate (region, service, starts_on, name, rate_pct, revision, set_at, set_by)
        SELECT $1, $2, $3, $4, $5, coalesce(max(revision), 0) + 1, $6, $7
        FROM catalog.tax_rate WHERE region = $1 AND service = $2 AND starts_on = $3
        """,
        *msgspec.structs.astuple(rate),
        now,
        actor,
    )
    told: Mapping[str, str] = {
        "service": rate.service,
        "starts_on": rate.starts_on.isoformat(),
        "name": rate.name,
        "rate_pct": plain(rate.rate_pct),
    }
    await audit.append(transaction, actor, "tax.rate", f"tax/{rate.region}", told, now)


async def list_tax_rates(transaction: Transaction) -> tuple[TaxRate, ...]:
    """All rates in the order of their months, without those that were replaced."""
    rows = await transaction.fetch(
        "SELECT DISTINCT ON (starts_on, region, service) region, service, starts_on, name, rate_pct "
        "FROM catalog.tax_rate ORDER BY starts_on, region, service, revision DESC"
    )
    return tuple(TaxRate(*row) for row in rows)
