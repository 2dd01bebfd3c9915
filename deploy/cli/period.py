"""A month on the command line."""

from typing import Any

import click

from catalog.vocabulary.period import Period


class _Month(click.ParamType[Period]):
    """`YYYY-MM`."""

    name = "YYYY-MM"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Period:
        if isinstance(value, Period):
            return value
        try:
            return Period.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


PERIOD = _Month()
