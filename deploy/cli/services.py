"""`ordergate services`."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date
from decimal import Decimal
from typing import Any

import click
import msgspec

from catalog.load import AppliedPrice, Catalogue, PublishedOperation
from catalog.passport import Passport
from catalog.plan.price import Outcome
from catalog.registry.lifecycle import state_of
from catalog.registry.published import catalogue
from catalog.vocabulary.clock import from_ns
from deploy.cli.output import json_option, print_json, print_table
from deploy.cli.session import session
from gateway.control.pages.phrases import Phrases
from gateway.control.pages.promises import limit_texts, promise

# Prices begin on each payer's own calendar; an operator, who is none of them, is told of UTC's.
_CALENDAR = "UTC"
_WORDS = Phrases("en")


class ScheduledCharge(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one unit will cost from a day on; `result_share_pct` as of a price that has begun."""

    price_version: str
    charge: str
    effective_from: date
    result_share_pct: str | None = None


class PriceNow(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one unit costs under a plan now, at its first tier: `0.055 CNY`, `; estimate` where the period decides.

    It is null, as is its version, where the first price of the plan is only scheduled. Where `result_share_pct`, a percentage
    of each proven result, is what is billed, calls cost nothing.
    """

    plan: str
    price_version: str | None
    charge: str | None
    scheduled: ScheduledCharge | None
    result_share_pct: str | None = None


class OperationEntry(msgspec.Struct, frozen=True):
    """An operation and what it costs."""

    operation: str
    path: str
    summary: dict[str, str]
    prices: tuple[PriceNow, ...]


class ServiceEntry(msgspec.Struct, frozen=True):
    """A service in the catalogue's list, with its SLA and limits as the passport has them."""

    service: str
    version: str
    state: str
    visibility: str
    name: dict[str, str]
    operations: tuple[OperationEntry, ...]
    sla: dict[str, Any]
    limits: tuple[dict[str, Any], ...]


@click.command()
@click.argument("service", required=False)
@json_option
def services(service: str | None, as_json: bool) -> None:
    """The catalogue with SLA and prices; with SERVICE its operations, what they cost, SLA, limits and quotas."""
    current = session()
    on_sale = current.read(catalogue)
    now_ns = current.clock.now_ns()
    listed = [one for one in on_sale.passports.values() if service in (None, one.service)]
    if service is not None and not listed:
        raise click.ClickException(
            f"No service {service!r} is published; `ordergate services` lists those that are."
        )
    entries = [_entry(on_sale, passport, now_ns) for passport in listed]
    if as_json:
        print_json(entries)
    elif service is None:
        _print_list(listed, entries)
    else:
        _print_service(listed[0], entries[0])


def _print_list(passports: Sequence[Passport], entries: Sequence[ServiceEntry]) -> None:
    print_table(
        ("service", "version", "state", "visibility", "operations", "name", "SLA", "charge of one unit"),
        [
            (
                one.service,
                one.version,
                one.state,
                one.visibility,
                ", ".join(operation.operation.partition("/")[2] for operation in one.operations),
                one.name["en"],
                "; ".join(f"{badge.label} {badge.bound}" for badge in promise(passport.sla, _WORDS).badges),
                "; ".join(_ranges(one)),
            )
            for passport, one in zip(passports, entries, strict=True)
        ],
    )


def _ranges(entry: ServiceEntry) -> Iterator[str]:
    """What the operations cost under each plan, from the cheapest to the dearest."""
    charges: dict[tuple[str, str], list[Decimal]] = {}
    shares: dict[str, list[Decimal]] = {}
    for operation in entry.operations:
        for price in operation.prices:
            if price.result_share_pct is not None:
                shares.setdefault(price.plan, []).append(Decimal(price.result_share_pct))
            elif price.charge is not None:
                amount, currency = price.charge.removesuffix("; estimate").split(" ")
                charges.setdefault((price.plan, currency), []).append(Decimal(amount))
    for (plan, currency), amounts in charges.items():
        yield f"{plan} {_range(amounts)} {currency}"
    for plan, percentages in shares.items():
        yield f"{plan} {_range(percentages)} % of each proven result"


def _range(amounts: Sequence[Decimal]) -> str:
    low, high = min(amounts), max(amounts)
    return str(low) if low == high else f"{low} to {high}"


def _cost(price: PriceNow | ScheduledCharge) -> str | None:
    """What a unit costs, in words where it costs nothing because results are billed."""
    if price.result_share_pct is not None:
        return f"0, but {price.result_share_pct} % of each proven result"
    return price.charge


def _print_service(passport: Passport, entry: ServiceEntry) -> None:
    print_table(
        ("operation", "path", "plan", "charge of one unit", "scheduled", "summary"),
        [
            (
                operation.operation,
                operation.path,
                price.plan,
                _cost(price),
                price.scheduled and f"from {price.scheduled.effective_from}: {_cost(price.scheduled)}",
                operation.summary["en"],
            )
            for operation in entry.operations
            for price in operation.prices
        ],
    )
    sla = promise(passport.sla, _WORDS)
    click.echo()
    if sla.badges:
        print_table(("SLA", "promised"), [(badge.label, badge.bound) for badge in sla.badges])
    else:
        click.echo(_WORDS("sla_none"))
    for schedule in sla.schedules:
        click.echo()
        print_table(
            (schedule.label, "given back"),
            [(row.attained, f"{row.percent} %") for row in schedule.rows],
            right=("given back",),
        )
    if sla.maximum:
        click.echo(sla.maximum)
    click.echo("\nLimits and quotas")
    for text in limit_texts(passport, _WORDS) or (_WORDS("no_limits"),):
        click.echo(text)


def _entry(on_sale: Catalogue, passport: Passport, now_ns: int) -> ServiceEntry:
    return ServiceEntry(
        passport.service,
        passport.version,
        state_of(passport),
        passport.visibility,
        msgspec.to_builtins(passport.name),
        tuple(
            OperationEntry(
                operation.id,
                operation.path,
                msgspec.to_builtins(operation.entry.summary),
                tuple(_prices(operation, now_ns)),
            )
            for operation in on_sale.operations.values()
            if operation.service == passport.service
        ),
        msgspec.to_builtins(passport.sla),
        tuple(msgspec.to_builtins(limit) for limit in passport.limits),
    )


def _prices(operation: PublishedOperation, now_ns: int) -> Iterator[PriceNow]:
    for plan, currency in sorted(operation.prices):
        price = operation.price_at(plan, currency, _CALENDAR, now_ns)
        coming = operation.next_price(plan, currency, _CALENDAR, now_ns)
        yield PriceNow(
            plan,
            None if price is None else price.id,
            None if price is None else _charge(price),
            None if coming is None else _scheduled(coming),
            None if price is None else _result_share_pct(price),
        )


def _scheduled(price: AppliedPrice) -> ScheduledCharge:
    begins = from_ns(price.begins_ns(_CALENDAR)).astimezone(UTC).date()
    return ScheduledCharge(price.id, _charge(price), begins, _result_share_pct(price))


def _charge(price: AppliedPrice) -> str:
    return f"0 {price.currency}" if isinstance(price.price, Outcome) else price.charge(Decimal(1))


def _result_share_pct(price: AppliedPrice) -> str | None:
    return price.price.rate_pct if isinstance(price.price, Outcome) else None
