"""Decimal numbers on the command line."""

from decimal import Decimal
from typing import Any

import click

from catalog.vocabulary.money import decimal_of


class _Number(click.ParamType[Decimal]):
    """A decimal such as `12.50`."""

    name = "DECIMAL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        if isinstance(value, Decimal):
            return value
        try:
            return decimal_of(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


DECIMAL = _Number()
