"""What a text in the body of a request has to look like, for programs as a pattern and for people in words."""

from typing import Annotated, TypeAlias

from catalog.vocabulary.described import worded
from gateway.control.endpoint import PERIOD_SCHEMA

MonthText: TypeAlias = Annotated[str, worded("a month such as 2026-11", pattern=PERIOD_SCHEMA["pattern"])]
AmountText: TypeAlias = Annotated[
    str,
    worded("a positive amount as a decimal string such as 12.50", pattern=r"^[0-9]{1,18}(\.[0-9]{1,20})?$"),
]
