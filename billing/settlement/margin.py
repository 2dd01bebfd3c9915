"""The provider's side of a month: revenue, unit costs and margin of every operation. Never shown to payers."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction

import msgspec

from billing.invoice.transfer import Deliveries, Earned, unit_parts
from billing.sla.judge import JUDGED_LINE
from billing.sla.store import terms_at
from billing.transaction import Connection
from catalog.vocabulary.exact import round_to
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import EXACT, amount_text, plain, round_money
from catalog.vocabulary.period import Period

# Whose calendar a month of the provider begins on, where the passports in force are looked up.
_ZONE = "UTC"


class Figures(msgspec.Struct, frozen=True):
    """Money in one currency. `revenue` is what is charged, discounts and fees of the service with it, less what credit notes
    of the month took back; `credits` what missed objectives give back; `cost` calls x unit cost, null where the passport names no cost in this currency; `margin` what
    is left, `margin_pct` of revenue less credits to two places."""

    currency: str
    calls: int
    revenue: str
    credits: str
    cost: str | None
    margin: str | None
    margin_pct: str | None


class OperationMargin(msgspec.Struct, frozen=True):
    """One operation; `customs/*` for what is of the service as a whole."""

    operation: str
    figures: Figures


class UnitShare(msgspec.Struct, frozen=True):
    """A delivering unit's share of a service's revenue less credits."""

    unit: str
    share_pct: str
    amount: str


class ServiceMargin(msgspec.Struct, frozen=True):
    """A service in one currency, its operations, and who of the group earned it."""

    service: str
    figures: Figures
    operations: tuple[OperationMargin, ...]
    delivered_by: tuple[UnitShare, ...]


class Margin(msgspec.Struct, frozen=True):
    """A month by service and currency; `account` stands for charges on whole bills, which no unit delivers. `totals` has
    one entry for each currency. Taxes are nobody's revenue."""

    environment: Environment
    period: str
    services: tuple[ServiceMargin, ...]
    totals: tuple[Figures, ...]


class _Sum(msgspec.Struct, frozen=True):
    calls: int = 0
    revenue: Decimal = Decimal(0)
    credits: Decimal = Decimal(0)
    cost: Decimal | None = Decimal(0)

    def __add__(self, other: "_Sum") -> "_Sum":
        cost = None if self.cost is None or other.cost is None else self.cost + other.cost
        return _Sum(
            self.calls + other.calls, self.revenue + other.revenue, self.credits + other.credits, cost
        )


# A month's charges on whichever documents they stand, open ones too; and what was credited in it, on the payer's calendar.
# A lost dispute is a loss and no correction of revenue, and a net credit's lines have reduced it on their own document.
_CHARGED = f"""
    SELECT operation, currency, sum(calls)::bigint AS calls, sum(revenue) AS revenue, sum(credits) AS credits
    FROM (SELECT operation, currency, calls_after - calls_before AS calls, amount AS revenue, 0 AS credits
          FROM billing.rated_line WHERE environment = $1 AND period = $2
          UNION ALL
          SELECT coalesce(judgement.operation, coalesce(nullif(line.service, ''), 'account') || '/*'), currency, 0,
                 CASE kind WHEN 'credit' THEN 0 ELSE amount END, CASE kind WHEN 'credit' THEN -amount ELSE 0 END
          FROM billing.charge_line AS line LEFT JOIN {JUDGED_LINE} ON true
          WHERE line.environment = $1 AND line.period = $2 AND kind NOT IN ('tax', 'net_credit')
          UNION ALL
          SELECT service || '/*', note.currency, 0, CASE reason WHEN 'sla_credit' THEN 0 ELSE -amount END,
                 CASE reason WHEN 'sla_credit' THEN amount ELSE 0 END
          FROM billing.credit_note AS note JOIN billing.credit_note_line ON credit_note_id = note.id
          JOIN catalog.account ON account.id = note.account_id
          WHERE environment = $1 AND date_trunc('month', issued_at AT TIME ZONE timezone)::date = $2
            AND service <> 'tax' AND reason NOT IN ('dispute_lost', 'net_credit')) AS charged
    GROUP BY 1, 2 ORDER BY 1, 2
"""  # noqa: S608 - a constant


async def margin(connection: Connection, period: Period, environment: Environment) -> Margin:
    """The month as far as it is rated, over all accounts, by the passports in force when it began (UTC)."""
    sums: dict[tuple[str, str], dict[str, _Sum]] = {}
    costs: dict[str, Mapping[tuple[str, str], Decimal]] = {}
    for row in await connection.fetch(_CHARGED, environment, period.first_day):
        service, _, name = row["operation"].partition("/")
        if service not in costs:
            costs[service] = await _costs(connection, service, period)
        unit_cost = costs[service].get((name, row["currency"]))
        cost = (
            None
            if unit_cost is None and row["calls"]
            else EXACT.multiply(unit_cost or Decimal(0), row["calls"])
        )
        found = _Sum(row["calls"], row["revenue"], row["credits"], cost)
        sums.setdefault((service, row["currency"]), {})[row["operation"]] = found
    deliveries = Deliveries()
    services = []
    totals: dict[str, _Sum] = {}
    for (service, currency), operations in sorted(sums.items()):
        whole = _sum(operations.values())
        totals[currency] = totals.get(currency, _Sum()) + whole
        delivery = await deliveries.of(connection, service, period, _ZONE)
        earned = Earned(service, whole.revenue, whole.credits)
        parts = [] if delivery is None else unit_parts(earned, delivery.shares, currency)
        services.append(
            ServiceMargin(
                service,
                _figures(whole, currency),
                tuple(
                    OperationMargin(name, _figures(one, currency)) for name, one in sorted(operations.items())
                ),
                tuple(
                    UnitShare(part.unit, plain(part.share_pct), plain(part.revenue - part.credits))
                    for part in parts
                ),
            )
        )
    return Margin(
        environment,
        str(period),
        tuple(services),
        tuple(_figures(one, currency) for currency, one in sorted(totals.items())),
    )


async def _costs(connection: Connection, service: str, period: Period) -> Mapping[tuple[str, str], Decimal]:
    terms = await terms_at(connection, service, period.bounds(_ZONE)[0])
    if terms is None:
        return {}
    return {(cost.operation, cost.currency): Decimal(cost.unit_cost) for cost in terms.passport.costs}


def _sum(sums: Iterable[_Sum]) -> _Sum:
    return sum(sums, _Sum())


def _figures(one: _Sum, currency: str) -> Figures:
    net = one.revenue - one.credits
    cost = None if one.cost is None else round_money(one.cost, currency)
    left = None if cost is None else net - cost
    percent = None if left is None or not net else round_to(Fraction(left) / Fraction(net) * 100, 2)
    return Figures(
        currency,
        one.calls,
        amount_text(one.revenue, currency),
        amount_text(one.credits, currency),
        None if cost is None else plain(cost),
        None if left is None else amount_text(left, currency),
        None if percent is None else plain(percent),
    )
