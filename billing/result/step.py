"""What is said about a result, one step after the other: stated, withdrawn, declined. Nothing follows its acceptance."""

from datetime import datetime
from decimal import Context, Decimal
from typing import Literal
from uuid import UUID

import msgspec

from billing.result.month import StatedMonth, hold_results, shares_of, stated_month
from billing.result.rows import Result, one_result
from billing.result.unbooked import unbooked
from billing.transaction import Connection
from catalog.accounts.test_clock import books_time
from catalog.outbox import announce
from catalog.registry import audit
from catalog.vocabulary.clock import to_ns
from catalog.vocabulary.ids import Environment, new_event_id, result_id_text
from catalog.vocabulary.money import plain
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import FieldError, Problem
from catalog.vocabulary.strict_json import forbidden_text

# Whose a result is, told by what was said about it or by the call whose reply stated it.
_WHOSE = """
    SELECT account_id, environment, period FROM billing.result_step WHERE result_id = $1
    UNION ALL
    SELECT event.account_id, event.environment, date_trunc('month', occurred_at AT TIME ZONE timezone)::date
    FROM billing.usage_event AS event JOIN catalog.account ON account.id = event.account_id
    WHERE event.id = $1 AND event.amends IS NULL
    LIMIT 1
"""
_LATEST_CALL = """
    SELECT event.id, event.subscription_id, event.price_version, price.price ->> 'of' AS of
    FROM billing.usage_event AS event JOIN catalog.price_version AS price ON price.id = event.price_version
    WHERE event.account_id = $1 AND event.payer = $1 AND event.environment = $2 AND event.operation = $3
      AND event.id >= $4 AND event.id < $5 AND event.occurred_at >= $6 AND event.occurred_at < $7
      AND event.class = 'ok' AND event.amends IS NULL AND price.model = 'outcome'
    ORDER BY event.occurred_at DESC, event.id DESC LIMIT 1
"""
_STEP = """
    INSERT INTO billing.result_step (result_id, step, account_id, environment, period, call_id, operation, subscription_id,
                                     price_version, kind, baseline, measured, volume, value, words, taken_at, taken_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
"""


# Two decimals of 18 digits before the point and 20 after it, multiplied.
_WIDE = Context(prec=80)
_BOUND = Decimal(10) ** 18
_PLACES = 20
_SMALLEST = Decimal(1).scaleb(-_PLACES)
_WORDS_MAX = 1000


class Proof(msgspec.Struct, frozen=True):
    """A provider's proof: what a unit cost before and after, how many units there were, and the evidence in words."""

    baseline: Decimal
    measured: Decimal
    volume: Decimal
    evidence: str

    @property
    def value(self) -> Decimal:
        """max(0, baseline - measured) x volume, exact."""
        gained = max(Decimal(0), _WIDE.subtract(self.baseline, self.measured))
        return _WIDE.multiply(gained, self.volume)


class KnownResult(msgspec.Struct, frozen=True):
    """A result and the month that it is of."""

    month: StatedMonth
    result: Result


async def known_result(connection: Connection, result_id: UUID) -> KnownResult:
    """A result in scope as it stands; `Problem` not-found otherwise."""
    row = await connection.fetchrow(_WHOSE, result_id)
    if row is not None:
        period = Period(row["period"].year, row["period"].month)
        month = await stated_month(connection, row["account_id"], row["environment"], period)
        found = await one_result(connection, month, await shares_of(connection, month), result_id)
        if found is not None:
            return KnownResult(month, found)
    raise Problem(
        "not-found",
        f"There is no result {result_id_text(result_id)}; a month's results are listed by account.",
    )


async def state_result(
    transaction: Connection, month: StatedMonth, operation: str, proof: Proof, actor: str, now: datetime
) -> Result:
    """State a result of a month, for the price that the latest call of the operation was made under; its payer is told.

    `Problem` invalid-input for a proof that proves nothing and for an operation that there is not (`customs/check` is one),
    conflict where the month has no answered call of it under an `outcome` price, or where the replies state the results.
    """
    _check(proof)
    await hold_results(transaction, month.account_id, month.environment)
    call = await transaction.fetchrow(
        _LATEST_CALL, month.account_id, month.environment, operation, *month.ids, *month.bounds
    )
    if call is None:
        raise await unbooked(transaction, month, operation)
    if call["of"] is not None:
        raise Problem(
            "conflict",
            f"The replies of {operation} state their results themselves, at {call['of']}; restate the one that is wrong.",
        )
    result_id = new_event_id(to_ns(now))
    placed = Result(
        result_id,
        0,
        call["id"],
        operation,
        call["subscription_id"],
        call["price_version"],
        "stated",
        proof.value,
        now,
        "",
        None,
        None,
        None,
        None,
        Decimal(0),
    )
    return await _take(transaction, KnownResult(month, placed), "stated", proof.evidence, actor, now, proof)


async def restate_result(
    transaction: Connection, result_id: UUID, proof: Proof, actor: str, now: datetime
) -> Result:
    """State a result anew, whatever its payer said of it; the payer is told. `Problem` conflict once it is accepted."""
    _check(proof)
    known = await _held(transaction, result_id)
    if known.result.state == "accepted":
        raise Problem("conflict", "The result is accepted; what was accepted is not stated anew.")
    return await _take(transaction, known, "stated", proof.evidence, actor, now, proof)


async def withdraw_result(
    transaction: Connection, result_id: UUID, reason: str, actor: str, now: datetime
) -> Result:
    """The provider takes a result back; its payer is told. `Problem` conflict unless it is open."""
    known = await _held(transaction, result_id)
    return await _take(transaction, _open(known), "withdrawn", reason, actor, now)


async def decline_result(
    transaction: Connection, result_id: UUID, environment: Environment, reason: str, actor: str, now: datetime
) -> Result:
    """The payer does not agree: it is not billed unless the provider states it anew. `Problem` not-found for a result of
    the other environment, conflict unless it is open."""
    known = await _held(transaction, result_id)
    if known.month.environment != environment:
        raise Problem("not-found", f"There is no {environment} result {result_id_text(result_id)}.")
    return await _take(transaction, _open(known), "declined", reason, actor, now)


async def _held(transaction: Connection, result_id: UUID) -> KnownResult:
    """As it stands while nobody else says anything about it."""
    month = (await known_result(transaction, result_id)).month
    await hold_results(transaction, month.account_id, month.environment)
    return await known_result(transaction, result_id)


def _open(known: KnownResult) -> KnownResult:
    if known.result.state != "stated":
        raise Problem(
            "conflict", f"The result is {known.result.state}; only an open one is declined or withdrawn."
        )
    return known


async def _take(
    transaction: Connection,
    known: KnownResult,
    kind: Literal["stated", "withdrawn", "declined"],
    words: str,
    actor: str,
    now: datetime,
    proof: Proof | None = None,
) -> Result:
    _check_words(words, "/evidence" if proof is not None else "/reason")
    month, result = known.month, known.result
    value = result.value if proof is None else proof.value
    await transaction.execute(
        _STEP,
        result.result_id,
        result.step + 1,
        month.account_id,
        month.environment,
        month.period.first_day,
        result.call_id,
        result.operation,
        result.subscription_id,
        result.price_version,
        kind,
        proof and proof.baseline,
        proof and proof.measured,
        proof and proof.volume,
        value,
        words,
        await books_time(transaction, month.account_id, month.environment, now),
        actor,
    )
    name = result_id_text(result.result_id)
    told = {"result_id": name, "operation": result.operation, "result": plain(value), "reason": words}
    await audit.append(transaction, actor, f"result.{kind}", f"result/{name}", told, now)
    told |= {"period": str(month.period), "state": kind}
    await announce(transaction, month.account_id, month.environment, f"result.{kind}", told, now)
    return (await known_result(transaction, result.result_id)).result


def _check_words(words: str, pointer: str) -> None:
    if not 0 < len(words.strip()) <= _WORDS_MAX or forbidden_text(words) is not None:
        raise _refused(
            pointer, "length", f"write 1 to {_WORDS_MAX} characters, none of them control characters"
        )


def _check(proof: Proof) -> None:
    for name in ("baseline", "measured", "volume"):
        value: Decimal = getattr(proof, name)
        if not 0 <= value < _BOUND:
            detail = "a decimal from 0 to 18 digits before the point is needed"
            raise _refused(f"/{name}", "range", detail)
    if not (result := proof.value):
        detail = "the measured value is not below the baseline, or the volume is 0: nothing was gained, and nothing is owed"
        raise _refused("/measured", "range", detail)
    # As replies state them: what is made of it is then exact wherever it goes.
    if result >= _BOUND or _WIDE.quantize(result, _SMALLEST) != result:
        detail = f"the result has at most 18 digits before the point and {_PLACES} after it"
        raise _refused("/volume", "range", detail)


def _refused(pointer: str, rule: str, detail: str) -> Problem:
    return Problem("invalid-input", f"{pointer}: {detail}.", errors=(FieldError(pointer, rule, detail),))
