"""A public service as the front page and its own page show it."""

from collections.abc import Sequence
from datetime import date

import msgspec

from catalog.passport import Passport
from catalog.price_list import ListedPlan
from gateway.control.pages.phrases import Phrases
from gateway.control.pages.prices import PriceTable, price_table
from gateway.control.pages.promises import Promise, Tone, limit_texts, promise


class ServiceView(msgspec.Struct, frozen=True):
    """Everything about a service but its operations' fields. `notice` says when it ends, if it does."""

    service: str
    name: str
    summary: str
    version: str
    team: str
    contact: str
    criticality: str
    state: str
    tone: Tone
    notice: str
    operations: int
    promise: Promise
    prices: PriceTable
    limits: tuple[str, ...]


def service_view(passport: Passport, plans: Sequence[ListedPlan], phrases: Phrases) -> ServiceView:
    """One public service with the prices of its plans."""
    return ServiceView(
        service=passport.service,
        name=phrases.of(passport.name),
        summary=phrases.of(passport.summary),
        version=passport.version,
        team=passport.owner.team,
        contact=passport.owner.contact,
        criticality=phrases(f"criticality_{passport.criticality}"),
        state=phrases("published" if passport.deprecation is None else "deprecated"),
        tone="good" if passport.deprecation is None else "warn",
        notice=_notice(passport, phrases),
        operations=len(passport.operations),
        promise=promise(passport.sla, phrases),
        prices=price_table(passport, plans, phrases),
        limits=limit_texts(passport, phrases),
    )


def _notice(passport: Passport, phrases: Phrases) -> str:
    dates = passport.deprecation
    if dates is None:
        return ""
    since: dict[str, date] = {"deprecation": dates.deprecation, "sunset": dates.sunset}
    text = phrases("deprecated_since", **since)
    return f"{text} {phrases('replaced_by', service=dates.replaced_by)}" if dates.replaced_by else text
