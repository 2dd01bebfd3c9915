"""Faults to come: each meets the next requests that match it, and is used up."""

import re
from typing import Literal

import msgspec

# reset: the connection breaks before anything is done. lost: it is done, and the answer never arrives. failed: a 500
# that is stored under the key, with nothing done. failed_after: the same with everything done. busy: a 429.
FaultKind = Literal["reset", "lost", "failed", "failed_after", "busy", "garbled"]


class Fault(msgspec.Struct):
    """`requests` such as `POST /v1/invoices$`, a regular expression; `times` how many of them are met."""

    kind: FaultKind
    requests: str = ""
    times: int = 1


class Faults:
    """What is planned, in order."""

    def __init__(self) -> None:
        self._planned: list[Fault] = []

    def plan(self, kind: FaultKind, requests: str = "", times: int = 1) -> None:
        """Let the next matching requests meet this."""
        self._planned.append(Fault(kind, requests, times))

    def meet(self, request: str) -> FaultKind | None:
        """What this request meets, if anything."""
        for fault in self._planned:
            if fault.times > 0 and re.search(fault.requests, request):
                fault.times -= 1
                return fault.kind
        return None

    @property
    def left(self) -> int:
        """How many faults nobody has met yet."""
        return sum(fault.times for fault in self._planned)
