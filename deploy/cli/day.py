"""A day on the command line."""

from datetime import date
from typing import Any

import click

from catalog.vocabulary.period import Period

# Moments count from 1970, and no book is older.
_EARLIEST = date(1970, 1, 2)
_DAY = len("2026-11-15")


class _Day(click.ParamType[date]):
    """`YYYY-MM-DD`; with `months` also `YYYY-MM`, which stands for the first of that month."""

    def __init__(self, *, months: bool) -> None:
        self.name = "YYYY-MM[-DD]" if months else "YYYY-MM-DD"
        self._months = months

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        text = str(value)
        try:
            is_month = self._months and len(text) != _DAY
            day = Period.parse(text).first_day if is_month else date.fromisoformat(text)
        except ValueError:
            day = date.min
        if day < _EARLIEST:
            also = " or a month such as 2026-11" if self._months else ""
            self.fail(f"a day such as 2026-11-15{also} is needed", param, ctx)
        return day


DAY = _Day(months=True)
EXACT_DAY = _Day(months=False)
