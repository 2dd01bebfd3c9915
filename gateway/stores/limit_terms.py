"""Which quotas, budgets and credit a call falls under."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Literal

from catalog.limit import Quota
from gateway.proofs import Caller, Permit
from gateway.stores.lease_pool import LimitTerms


def limits_of(permit: Permit) -> Iterator[LimitTerms]:
    """Quotas first: they cost nothing to give back."""
    caller, operation = permit.caller, permit.operation
    for quota in operation.quotas:
        yield _quota(caller, quota, operation.id if quota.counts == "operation" else operation.service)
    if caller.allowances is None:
        return
    for budget in caller.allowances.budgets:
        whose = {
            "account": caller.account_id,
            "application": caller.application_id,
            "cost_centre": caller.cost_centre_id,
        }
        if budget.environment == caller.environment and budget.scope_id == whose[budget.scope]:
            yield _money(caller, "budget", budget.id, budget.amount)
    if caller.environment in caller.allowances.prepaid:
        yield _money(caller, "credit", "", Decimal(0))


def _quota(caller: Caller, quota: Quota, counts: str) -> LimitTerms:
    application_id = caller.application_id if quota.per == "application" else None
    return LimitTerms(
        kind="quota",
        account_id=caller.account_id,
        environment=caller.environment,
        subject=quota.subject(counts, application_id),
        period=quota.period,
        timezone=caller.timezone,
        unit="calls",
        limit=Decimal(quota.q),
        counts=counts,
        application_id=application_id,
    )


def _money(caller: Caller, kind: Literal["budget", "credit"], subject: str, limit: Decimal) -> LimitTerms:
    return LimitTerms(
        kind=kind,
        account_id=caller.account_id,
        environment=caller.environment,
        subject=subject,
        period="month",
        timezone=caller.timezone,
        unit=caller.currency,
        limit=limit,
    )
