"""A day on the command line; a month stands for its first day."""

from datetime import date
from typing import Any

import click

from catalog.vocabulary.period import Period


class _Day(click.ParamType[date]):
    """`YYYY-MM-DD`, or `YYYY-MM` for the first of that month."""

    name = "YYYY-MM[-DD]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        text = str(value)
        try:
            return (
                date.fromisoformat(text) if len(text) == len("2026-11-01") else Period.parse(text).first_day
            )
        except ValueError:
            self.fail("a day such as 2026-11-15 or a month such as 2026-11 is needed", param, ctx)


DAY = _Day()
