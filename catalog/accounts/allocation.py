"""How an account splits its own bill over its cost centres: by percentages, for all of it, a service or an operation."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from catalog.accounts.account import Account
from catalog.accounts.application import list_cost_centres
from catalog.accounts.refusal import invalid_fields
from catalog.registry import audit
from catalog.transaction import Transaction, require_transaction
from catalog.vocabulary.ids import new_id
from catalog.vocabulary.money import decimal_of
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import FieldError

_SCOPE = re.compile(r"([a-z][a-z0-9_-]*(/[a-z][a-z0-9_-]*)?)?")
_PARTS_MAX = 50
_WHOLE = Decimal(100)


class AllocationPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A cost centre's percentage, a decimal string above 0."""

    cost_centre_id: str
    percent: str


class AllocationRule(msgspec.Struct, frozen=True):
    """In force from the month `effective_from` on until the next rule of its scope; without parts it only ends earlier ones.

    `scope` is empty for the whole account, `customs` for a service, `customs/check` for an operation; the narrowest
    rule decides. The percentages sum to 100.
    """

    id: str
    scope: str
    effective_from: str
    parts: tuple[AllocationPart, ...]


async def set_allocation(
    transaction: Transaction,
    account: Account,
    scope: str,
    effective_from: Period,
    parts: Sequence[AllocationPart],
    *,
    actor: str,
    now: datetime,
) -> AllocationRule:
    """Write a rule down; a later one of the same scope and month replaces it. A part may name its cost centre by its name.

    `Problem` invalid-input. The transaction's scope has the account; that no document of those months is issued is
    the caller's to see to, for this package knows no documents.
    """
    require_transaction(transaction)
    centres = await list_cost_centres(transaction, account)
    ids = {centre.name: centre.id for centre in centres} | {centre.id: centre.id for centre in centres}
    if errors := _rules_broken(scope, parts, ids):
        raise invalid_fields(errors)
    written = tuple(AllocationPart(ids[part.cost_centre_id], part.percent) for part in parts)
    rule = AllocationRule(new_id("alloc"), scope, str(effective_from), written)
    await transaction.execute(
        """
        INSERT INTO catalog.allocation_rule (id, account_id, scope, effective_from, revision, parts, set_at, set_by)
        SELECT $1, $2, $3, $4, coalesce(max(revision), 0) + 1, $5, $6, $7
        FROM catalog.allocation_rule WHERE account_id = $2 AND scope = $3 AND effective_from = $4
        """,
        rule.id,
        account.id,
        scope,
        effective_from.first_day,
        msgspec.json.encode(written).decode(),
        now,
        actor,
    )
    detail = {"scope": scope, "effective_from": rule.effective_from, "parts": msgspec.to_builtins(written)}
    await audit.append(transaction, actor, "account.allocation", f"account/{account.id}", detail, now)
    return rule


async def list_allocations(transaction: Transaction, account_id: str) -> tuple[AllocationRule, ...]:
    """The account's rules in the order of their months and scopes, without those that were replaced."""
    rows = await transaction.fetch(
        "SELECT DISTINCT ON (effective_from, scope) id, scope, to_char(effective_from, 'YYYY-MM') AS month, parts "
        "FROM catalog.allocation_rule WHERE account_id = $1 ORDER BY effective_from, scope, revision DESC",
        account_id,
    )
    return tuple(
        AllocationRule(
            row["id"],
            row["scope"],
            row["month"],
            msgspec.json.decode(row["parts"], type=tuple[AllocationPart, ...]),
        )
        for row in rows
    )


def rule_for(
    rules: Iterable[AllocationRule], service: str, operation: str, period: Period
) -> AllocationRule | None:
    """The rule that splits an operation's charges of a month; None where nothing was agreed. `rules` come by month."""
    in_force: dict[str, AllocationRule] = {
        rule.scope: rule for rule in rules if rule.effective_from <= str(period)
    }
    for scope in (operation, service, ""):
        rule = in_force.get(scope)
        if rule is not None and rule.parts:
            return rule
    return None


def _rules_broken(scope: str, parts: Sequence[AllocationPart], known: Mapping[str, str]) -> list[FieldError]:
    errors = []
    if not _SCOPE.fullmatch(scope):
        errors.append(
            FieldError("/scope", "form", "write a service, service/operation, or nothing for all of the bill")
        )
    if len(parts) > _PARTS_MAX:
        errors.append(FieldError("/parts", "length", f"at most {_PARTS_MAX} parts"))
    named: set[str] = set()
    total = Decimal(0)
    for place, part in enumerate(parts):
        centre = known.get(part.cost_centre_id)
        if centre is None or centre in named:
            detail = "name a cost centre of the account, each once"
            errors.append(FieldError(f"/parts/{place}/cost_centre_id", "reference", detail))
        else:
            named.add(centre)
        try:
            percent = decimal_of(part.percent)
        except ValueError:
            percent = Decimal(0)
        if percent <= 0:
            detail = 'write a decimal string above "0"'
            errors.append(FieldError(f"/parts/{place}/percent", "range", detail))
        total += percent
    if parts and total != _WHOLE and not errors:
        errors.append(FieldError("/parts", "sum", f"the percentages sum to {total}, not to 100"))
    return errors
