"""Which lifecycle state of a passport may follow which: callers get the notice that they were promised."""

from collections.abc import Mapping
from datetime import date

from catalog.passport import Passport
from catalog.vocabulary.problem import FieldError

_FOLLOWS: Mapping[str, tuple[str, ...]] = {
    "unpublished": ("published", "deprecated"),
    "published": ("published", "deprecated"),
    "deprecated": ("deprecated", "published", "retired"),
    "retired": ("retired",),
}


def state_of(passport: Passport) -> str:
    """The name of a passport's lifecycle state."""
    return passport.lifecycle if isinstance(passport.lifecycle, str) else "deprecated"


def rule_broken(active: Passport | None, offered: Passport, today: date) -> FieldError | None:
    """What is wrong with moving a service from its active passport (None before the first) to the offered one."""
    before = state_of(active) if active is not None else "unpublished"
    after = state_of(offered)
    if after not in _FOLLOWS[before]:
        allowed = " or ".join(_FOLLOWS[before])
        return FieldError("/lifecycle", "lifecycle", f"a service that is {before} can become {allowed}")
    if (
        active is not None
        and after == "retired"
        and (dates := active.deprecation) is not None
        and today < dates.sunset
    ):
        return FieldError(
            "/lifecycle", "sunset", f"callers were promised the service until {dates.sunset}; retire it then"
        )
    return None
