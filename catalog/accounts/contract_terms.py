"""Contract terms: what an account agreed to beside the prices, from a day on, for all services or for one."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from catalog.accounts.account import Account
from catalog.accounts.refusal import invalid_fields
from catalog.registry import audit
from catalog.registry.published import current
from catalog.transaction import Transaction, require_transaction
from catalog.vocabulary.ids import new_id
from catalog.vocabulary.money import plain, round_money
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import FieldError

_COMMITTED_MONTHS_MAX = 120


class ContractTerms(msgspec.Struct, frozen=True):
    """Terms in force from `starts_on` on the account's calendar until the next ones; all zero: none any more.

    Money is in the account's currency. `service` is empty for terms on the whole bill. A month's bill is the sum of its
    lines, plus `access_fee`, minus `discount_pct` percent of that sum, and at least `minimum`. Over each
    `committed_months` months from `starts_on` on it comes to at least `committed_spend`.
    """

    id: str
    service: str
    starts_on: date
    access_fee: Decimal = Decimal(0)
    discount_pct: Decimal = Decimal(0)
    minimum: Decimal = Decimal(0)
    committed_spend: Decimal = Decimal(0)
    committed_months: int = 0

    @property
    def charges(self) -> bool:
        """Whether a month costs something even where nothing was called."""
        return bool(self.access_fee or self.minimum or self.committed_spend)

    @property
    def none(self) -> bool:
        """Whether these terms only end earlier ones."""
        return not (self.charges or self.discount_pct)

    def days_in(self, period: Period) -> tuple[int, int]:
        """The days of a month that they are in force for, to the month's end, and the days of the month."""
        ends_on = period.next().first_day
        days = (ends_on - period.first_day).days
        return min(days, max(0, (ends_on - self.starts_on).days)), days

    def commitment_ends(self, period: Period) -> Period | None:
        """The last month of the committed span that a month lies in; None without a commitment."""
        if not self.committed_months:
            return None
        first = Period(self.starts_on.year, self.starts_on.month)
        passed = months_between(first, period)
        return months_after(first, passed - passed % self.committed_months + self.committed_months - 1)


def months_between(first: Period, last: Period) -> int:
    """How many months `last` comes after `first`."""
    return 12 * (last.year - first.year) + last.month - first.month


def months_after(period: Period, months: int) -> Period:
    """The month that comes that many months later; earlier if it is negative."""
    years, month = divmod(period.month - 1 + months, 12)
    return Period(period.year + years, month + 1)


def terms_in(terms: Iterable[ContractTerms], period: Period) -> tuple[ContractTerms, ...]:
    """Those in force in a month: one for each service, those on the whole bill last.

    `terms` come in the order of their days. What ends or changes during a month is in force to its end.
    """
    ends_on = period.next().first_day
    by_service: dict[str, ContractTerms] = {}
    for one in terms:
        if one.starts_on < ends_on:
            by_service[one.service] = one
    found = [one for one in by_service.values() if not one.none]
    return tuple(sorted(found, key=lambda one: (not one.service, one.service)))


_COLUMNS = "id, service, starts_on, access_fee, discount_pct, minimum, committed_spend, committed_months"


async def set_terms(
    transaction: Transaction, account: Account, terms: ContractTerms, *, actor: str, now: datetime
) -> ContractTerms:
    """Write terms down; those of the same service and day are replaced, issued documents keep what they were issued by.

    The first terms may begin on any day, and their first month is then charged by days; later ones begin with a month.
    `Problem` invalid-input. The transaction's scope has the account.
    """
    require_transaction(transaction)
    if terms.service and terms.service not in await current(transaction):
        raise invalid_fields(
            [FieldError("/service", "reference", f"no service {terms.service!r} is published")]
        )
    earlier = [
        one for one in await list_terms(transaction, account) if one.service == terms.service and not one.none
    ]
    if errors := _rules_broken(terms, earlier, account.currency):
        raise invalid_fields(errors)
    written = msgspec.structs.replace(terms, id=new_id("terms"))
    await transaction.execute(
        f"""
        INSERT INTO catalog.account_terms ({_COLUMNS}, account_id, revision, set_at, set_by)
        SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, coalesce(max(revision), 0) + 1, $10, $11
        FROM catalog.account_terms WHERE account_id = $9 AND service = $2 AND starts_on = $3
        """,  # noqa: S608 - a constant
        *msgspec.structs.astuple(written),
        account.id,
        now,
        actor,
    )
    await audit.append(transaction, actor, "account.terms", f"account/{account.id}", _told(written), now)
    return written


async def list_terms(transaction: Transaction, account: Account) -> tuple[ContractTerms, ...]:
    """The account's terms in the order of their days, without those that were replaced."""
    return (await all_terms(transaction, [account.id])).get(account.id, ())


async def all_terms(
    transaction: Transaction, accounts: Iterable[str] | None = None
) -> Mapping[str, tuple[ContractTerms, ...]]:
    """The terms of accounts by their ids, of all in scope for None; accounts without any are left out."""
    rows = await transaction.fetch(
        f"""
        SELECT DISTINCT ON (account_id, starts_on, service) account_id, {_COLUMNS} FROM catalog.account_terms
        WHERE $1::text[] IS NULL OR account_id = ANY($1) ORDER BY account_id, starts_on, service, revision DESC
        """,  # noqa: S608 - a constant
        None if accounts is None else list(accounts),
    )
    found: dict[str, tuple[ContractTerms, ...]] = {}
    for account_id, *columns in rows:
        found[account_id] = (*found.get(account_id, ()), ContractTerms(*columns))
    return found


def _rules_broken(terms: ContractTerms, earlier: Iterable[ContractTerms], currency: str) -> list[FieldError]:
    errors = []
    for name in ("access_fee", "minimum", "committed_spend"):
        amount: Decimal = getattr(terms, name)
        if amount < 0 or round_money(amount, currency) != amount:
            errors.append(
                FieldError(f"/{name}", "amount", f"write whole minor units of {currency}, 0 or more")
            )
    if not 0 <= terms.discount_pct <= 100:
        errors.append(FieldError("/discount_pct", "percentage", "write 0 to 100"))
    if not 0 <= terms.committed_months <= _COMMITTED_MONTHS_MAX:
        errors.append(FieldError("/committed_months", "range", f"write 1 to {_COMMITTED_MONTHS_MAX} months"))
    if bool(terms.committed_spend) != bool(terms.committed_months):
        errors.append(
            FieldError("/committed_spend", "complete", "a commitment is an amount and the months it is for")
        )
    if terms.starts_on.day != 1 and (terms.none or any(one.starts_on != terms.starts_on for one in earlier)):
        errors.append(
            FieldError("/starts_on", "whole-months", "terms change and end on the first day of a month")
        )
    return errors


def _told(terms: ContractTerms) -> dict[str, Any]:
    fields = msgspec.structs.asdict(terms)
    told = {name: plain(value) if isinstance(value, Decimal) else value for name, value in fields.items()}
    return {**told, "starts_on": terms.starts_on.isoformat()}
