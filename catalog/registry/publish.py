"""Put a passport on sale: checked against the code, kept as a new revision, its changed prices as new versions."""

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from catalog.passport import (
    Passport,
    PassportRefused,
    check_passport,
    document_of,
    interface_changes,
    interface_digest,
    with_terms,
)
from catalog.registry import audit, lifecycle, prices
from catalog.registry.published import Published, current
from catalog.transaction import Transaction, require_transaction
from catalog.vocabulary.problem import FieldError

# Publishing is one at a time: the next revision and the price versions continue the ones before.
_LOCK = 0x4F67_5075


class Publication(msgspec.Struct, frozen=True):
    """What a publication did. Where nothing differs from what is on sale, `changed` is False and nothing was written."""

    service: str
    version: str
    revision: int
    changed: bool
    new_prices: tuple[str, ...] = ()


async def publish(
    transaction: Transaction, passport: Passport, built_in: Passport | None, actor: str, now: datetime
) -> Publication:
    """An operator's publication; the caller's transaction commits it, workers take it over within a second.

    `built_in` is the passport of the code that would answer the calls: its interface binds, the terms are free.
    Raises `PassportRefused` with every field, rule and remedy; then nothing was written.
    """
    active = await examine(transaction, passport, built_in, now)
    return await _store(transaction, passport, active, actor, now)


async def examine(
    transaction: Transaction, passport: Passport, built_in: Passport | None, now: datetime
) -> Published | None:
    """Whether a passport could be published now: the revision that it would replace, None before the first.

    Raises `PassportRefused` with every field, rule and remedy. No other publication comes in between until the caller's
    transaction ends.
    """
    require_transaction(transaction)
    if built_in is None:
        detail = f"this installation has no service {passport.service!r}; a local binding needs its code"
        raise PassportRefused((FieldError("/service", "reference", detail),))
    await _lock(transaction)
    active = (await current(transaction)).get(passport.service)
    errors = interface_changes(built_in, passport) + prices.unmetered(
        passport.parsed_plans, passport.operations
    )
    if broken := lifecycle.rule_broken(
        active.passport if active else None, passport, now.astimezone(UTC).date()
    ):
        errors.append(broken)
    if errors:
        raise PassportRefused(tuple(errors))
    return active


async def publish_built_in(
    transaction: Transaction, passports: Iterable[Passport], actor: str, now: datetime
) -> tuple[Publication, ...]:
    """Start-up: bring the registry up to the code that runs; returns what was published, nothing if it was up to date.

    A service that the registry does not know is published as its file says. One whose interface the code has changed
    gets the new interface under the terms that the registry holds. Otherwise the registry's terms stand, whatever the
    file says. Raises `PassportRefused` where terms that were published do not fit the code any more.
    """
    require_transaction(transaction)
    await _lock(transaction)
    known = await current(transaction)
    done = []
    for passport in passports:
        active = known.get(passport.service)
        if active is None:
            offered = passport
        elif active.interface_digest != interface_digest(passport):
            offered = check_passport(document_of(with_terms(passport, active.passport)))
        else:
            continue
        if errors := prices.unmetered(offered.parsed_plans, offered.operations):
            raise PassportRefused(tuple(errors))
        done.append(await _store(transaction, offered, active, actor, now))
    return tuple(done)


async def _lock(transaction: Transaction) -> None:
    await transaction.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)


async def _store(
    transaction: Transaction, passport: Passport, active: Published | None, actor: str, now: datetime
) -> Publication:
    document = document_of(passport)
    new = await prices.planned_prices(transaction, passport, now)
    if active is not None and document_of(active.passport) == document and not new:
        return Publication(passport.service, passport.version, active.revision, changed=False)
    revision = active.revision + 1 if active else 1
    await transaction.execute(
        """
        INSERT INTO catalog.passport (service, revision, version, document, interface_digest, published_at, published_by)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        passport.service,
        revision,
        passport.version,
        msgspec.json.encode(document).decode(),
        interface_digest(passport),
        now,
        actor,
    )
    await prices.write_prices(transaction, new, now)
    new_prices = tuple(price.version.id for price in new)
    detail = {
        "revision": revision,
        "version": passport.version,
        "lifecycle": lifecycle.state_of(passport),
        "new_prices": new_prices,
    }
    await audit.append(transaction, actor, "service.publish", f"service/{passport.service}", detail, now)
    return Publication(passport.service, passport.version, revision, changed=True, new_prices=new_prices)
