"""Rating, ledger and documents as they follow from the usage rows, against what is stored: one sentence a difference."""

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date
from decimal import Decimal

import msgspec

from billing.audit.rerating import ReratedMonth, rerated_months
from billing.invoice.charge import ChargeKey, charge_total
from billing.invoice.credit import charges_of, credits_due
from billing.invoice.lines import decode_split, decode_trace, frozen_lines, invoice_lines, rated_steps
from billing.invoice.month import Month, payer_of, period_of
from billing.invoice.settle import SETTLED, due_charges
from billing.invoice.terms import decode_terms
from billing.sla.judge import judgements
from billing.transaction import Connection
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import plain

# Each step of a line begins where the one before it ended, and the first at nothing.
_BROKEN_CHAINS = """
    SELECT id, account_id, period, operation FROM (
        SELECT *, lag(calls_after, 1, 0::bigint) OVER line AS calls, lag(units_after, 1, 0::numeric) OVER line AS units,
               lag(amount_after, 1, 0::numeric) OVER line AS amount_was, row_number() OVER line AS place
        FROM billing.rated_line WHERE environment = $1
        WINDOW line AS (PARTITION BY account_id, environment, subscription_id, operation, price_version, period
                        ORDER BY step)) AS step
    WHERE step <> place OR calls_before <> calls OR units_before <> units OR amount <> amount_after - amount_was
    ORDER BY id
"""
_LAST_STEPS = """
    SELECT DISTINCT ON (account_id, period, subscription_id, operation, price_version)
           account_id, period, subscription_id, operation, price_version,
           calls_after, units_after, amount_after, precise_after, trace, split
    FROM billing.rated_line WHERE environment = $1
    ORDER BY account_id, period, subscription_id, operation, price_version, step DESC
"""
_BROKEN_CHARGES = """
    SELECT id, account_id, period, kind FROM (
        SELECT *, lag(amount_after, 1, 0::numeric) OVER charge AS amount_was, row_number() OVER charge AS place
        FROM billing.charge_line WHERE environment = $1
        WINDOW charge AS (PARTITION BY account_id, environment, period, kind, service, name ORDER BY step)) AS step
    WHERE step <> place OR amount <> amount_after - amount_was ORDER BY id
"""
# All credits of an account's month with a service are booked together: what they were due from is of that moment.
_CREDITED_MONTHS = """
    SELECT account_id, service, period, calendar, currency, max(booked_at) AS booked_at,
           jsonb_object_agg(name, (-amount_after)::text) AS given
    FROM (SELECT DISTINCT ON (account_id, service, period, line.name) line.*, account.timezone AS calendar
          FROM billing.charge_line AS line JOIN catalog.account ON account.id = line.account_id
          WHERE line.kind = 'credit' AND environment = $1
          ORDER BY account_id, service, period, line.name, step DESC) AS last
    GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 3, 2
"""
# What the terms of a month came to when a document was issued that says something about it, or a dispute was accepted.
_SETTLED_MONTHS = """
    SELECT DISTINCT said.account_id, said.period, said.number, said.issued_at, own.terms
    FROM (SELECT said.account_id, said.environment, said.period, number, issued_at
          FROM (SELECT account_id, environment, period, invoice_id FROM billing.rated_line UNION
                SELECT account_id, environment, period, invoice_id FROM billing.charge_line UNION
                SELECT account_id, environment, period, id FROM billing.invoice) AS said
          JOIN billing.invoice AS document ON document.id = said.invoice_id AND document.state = 'issued'
          UNION SELECT account_id, environment, period, dispute_id, credited_at FROM billing.dispute_credit) AS said
    JOIN billing.invoice AS own ON own.state = 'issued'
     AND (own.account_id, own.environment, own.period) = (said.account_id, said.environment, said.period)
    WHERE said.environment = $1
      AND (own.terms <> '{}' OR EXISTS (SELECT FROM billing.charge_line AS charge WHERE charge.kind = ANY($2)
           AND (charge.account_id, charge.environment, charge.period) = (own.account_id, own.environment, own.period)))
    ORDER BY 1, 2, 4
"""
_SETTLED = """
    SELECT charge.kind, service, name, sum(amount) AS amount FROM billing.charge_line AS charge
    JOIN billing.invoice ON invoice.id = invoice_id AND issued_at <= $4
    WHERE charge.account_id = $1 AND charge.environment = $2 AND charge.period = $3 AND charge.kind = ANY($5)
    GROUP BY 1, 2, 3 HAVING sum(amount) <> 0
"""
# Every posting that rated lines and issued documents call for, and every posting that there is.
_LEDGER = """
    WITH due (kind, source, booked_at, account_id, ledger_account, currency, amount) AS (
        SELECT 'rating', 'rated_line:' || id, rated_at, account_id, 'accrued', currency, amount
        FROM billing.rated_line WHERE environment = $1 AND amount <> 0
        UNION ALL
        SELECT 'rating', 'rated_line:' || id, rated_at, 'house', 'earnings:' || split_part(operation, '/', 1),
               currency, -amount
        FROM billing.rated_line WHERE environment = $1 AND amount <> 0
        UNION ALL
        SELECT CASE WHEN kind IN ('credit', 'tax') THEN kind ELSE 'charge' END, kind || '_line:' || id, booked_at,
               ledger.account, ledger.name, currency, sign * amount
        FROM billing.charge_line, LATERAL (VALUES ('house', CASE kind
                 WHEN 'credit' THEN 'credits:' || service WHEN 'tax' THEN 'tax'
                 ELSE kind || ':' || coalesce(nullif(service, ''), 'account') END, -1), (account_id, 'accrued', 1))
             AS ledger (account, name, sign)
        WHERE environment = $1
        UNION ALL
        SELECT 'issue', 'invoice:' || invoice.id, issued_at, account_id, ledger_account, currency, sign * total
        FROM billing.invoice, (VALUES ('receivable', 1), ('accrued', -1)) AS side (ledger_account, sign)
        WHERE environment = $1 AND state = 'issued' AND total <> 0
    ), booked AS (
        SELECT kind, source, booked_at, account_id, ledger_account, currency, amount
        FROM billing.ledger_transaction JOIN billing.posting ON transaction_id = ledger_transaction.id
        WHERE environment = $1 AND kind IN ('rating', 'charge', 'credit', 'tax', 'issue')
    )
    (SELECT 'is due and not posted' AS what, * FROM (TABLE due EXCEPT ALL TABLE booked) AS lost)
    UNION ALL
    (SELECT 'is posted and not due' AS what, * FROM (TABLE booked EXCEPT ALL TABLE due) AS invented)
    ORDER BY source, ledger_account, what
"""
_GAPS = """
    SELECT series, last, numbers FROM billing.invoice_number
    FULL JOIN (SELECT left(number, -7) AS series, count(*) AS numbers,
                      min(right(number, 6)::integer) AS lowest, max(right(number, 6)::integer) AS highest
               FROM (SELECT number FROM billing.invoice WHERE number IS NOT NULL
                     UNION ALL SELECT number FROM billing.credit_note) AS document GROUP BY 1) AS used USING (series)
    WHERE last IS DISTINCT FROM numbers OR lowest <> 1 OR highest <> last ORDER BY series
"""


async def rating_differences(connection: Connection, environment: Environment) -> AsyncIterator[str]:
    """Rated lines against one rating of the usage rows; the transaction must be REPEATABLE READ."""
    for row in await connection.fetch(_BROKEN_CHAINS, environment):
        yield f"{environment} rated line {row['id']} ({row['operation']}): does not continue the step before it"
    rated = {
        tuple(row[:5]): (*row[5:9], decode_trace(row["trace"]), decode_split(row["split"]))
        for row in await connection.fetch(_LAST_STEPS, environment)
    }
    async for one in rerated_months(connection, environment):
        if one.unratable:
            yield f"{environment} {one}"
            rated = {place: found for place, found in rated.items() if place[:2] != _whose(one)}
        for place, due in _due(one):
            if (found := rated.pop(place, None)) != due:
                yield f"{environment} {_place(place)}: rated {_brief(found)}, due is {_brief(due)}"
    for place, found in rated.items():
        if any(found[:4]):
            yield f"{environment} {_place(place)}: rated {_brief(found)}, nothing was used"


def _due(one: ReratedMonth) -> Iterator[tuple[tuple[object, ...], tuple[object, ...]]]:
    """Each line's place among the rated lines and what is due there, as far as that can be said."""
    for line in one.lines:
        key, used, rating = line.key, line.used, line.rating
        if rating is not None:
            place = (*_whose(one), key.subscription_id, key.operation, key.price_version)
            yield place, (used.calls, used.units, rating.amount, rating.precise, rating.trace, used.shares)


def _whose(one: ReratedMonth) -> tuple[str, date]:
    return one.month.account_id, one.month.period.first_day


async def credit_differences(connection: Connection, environment: Environment) -> AsyncIterator[str]:
    """What missed objectives gave back against their judgements and the charges as they were rated at the time."""
    for row in await connection.fetch(_CREDITED_MONTHS, environment):
        account_id, service, period = row["account_id"], row["service"], period_of(row["period"])
        sandbox_of = account_id if environment == "test" else None
        judged = await judgements(connection, service, period, row["calendar"], sandbox_of)
        charges = await charges_of(connection, account_id, environment, [period], row["booked_at"])
        due = credits_due(judged, charges[period].get(service, {}), row["currency"])
        given = msgspec.json.decode(row["given"], type=dict[str, Decimal])
        for objective in sorted(due.keys() | given.keys()):
            owed, found = due.get(objective, Decimal(0)), given.get(objective, Decimal(0))
            if owed != found:
                place = f"{environment} {account_id} {period} {service} {objective}"
                yield f"{place}: credited {plain(found)}, due is {plain(owed)}"


async def charge_differences(connection: Connection, environment: Environment) -> AsyncIterator[str]:
    """Charges that no call carries: their steps, and what they came to at each issue by the terms that were frozen then."""
    for row in await connection.fetch(_BROKEN_CHARGES, environment):
        yield f"{environment} {row['kind']} line {row['id']}: does not continue the step before it"
    for row in await connection.fetch(_SETTLED_MONTHS, environment, list(SETTLED)):
        month = Month(row["account_id"], environment, period_of(row["period"]))
        payer = await payer_of(connection, month.account_id)
        terms = decode_terms(row["terms"])
        due = {
            one.key: one.amount
            for one in await due_charges(connection, payer, month, terms, row["issued_at"])
        }
        settled = await connection.fetch(
            _SETTLED, month.account_id, environment, row["period"], row["issued_at"], list(SETTLED)
        )
        found = {ChargeKey(one["kind"], one["service"], one["name"]): one["amount"] for one in settled}
        for key in sorted(due.keys() | found.keys()):
            owed, booked = due.get(key, Decimal(0)), found.get(key, Decimal(0))
            if owed != booked:
                place = (
                    f"{environment} {month.account_id} {month.period} {key.kind} {key.service or 'account'}"
                )
                yield f"{place}: booked {plain(booked)} up to {row['number']}, due is {plain(owed)}"


async def ledger_differences(connection: Connection, environment: Environment) -> AsyncIterator[str]:
    """Postings against the rated lines and issued documents that call for them."""
    for row in await connection.fetch(_LEDGER, environment):
        entry = f"{row['account_id']} {row['ledger_account']} {plain(row['amount'])} {row['currency']}"
        yield f"{environment} {row['source']}: {entry} {row['what']}"


async def document_differences(connection: Connection, environment: Environment) -> AsyncIterator[str]:
    """Issued documents against the lines that were rated onto them."""
    rows = await connection.fetch(
        "SELECT id, period, number, total FROM billing.invoice WHERE environment = $1 AND state = 'issued' ORDER BY id",
        environment,
    )
    for row in rows:
        due = invoice_lines(await rated_steps(connection, row["id"]), period_of(row["period"]))
        if due != await frozen_lines(connection, row["id"]):
            yield f"{environment} {row['number']}: its lines are not what was rated onto it"
        if sum(line.amount for line in due) + await charge_total(connection, row["id"]) != row["total"]:
            yield f"{environment} {row['number']}: its total is not the sum of what was rated onto it"


async def number_differences(connection: Connection) -> AsyncIterator[str]:
    """Series whose numbers are not 1, 2, 3 … up to the counter."""
    for row in await connection.fetch(_GAPS):
        yield f"series {row['series']}: {row['numbers'] or 0} documents, the counter stands at {row['last']}"


def _place(place: Sequence[object]) -> str:
    account_id, period, _, operation, price_version = place
    return f"{account_id} {str(period)[:7]} {operation} {price_version or '(no price)'}"


def _brief(figures: Sequence[object] | None) -> str:
    if figures is None:
        return "nothing"
    calls, units, amount, precise = figures[:4]
    return f"{calls} calls, {units} units, {amount} ({precise})"
