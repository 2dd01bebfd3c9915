"""Why the shipping of one journal stops until a person has looked: each case has a name; nothing is dropped or guessed.

Damage in the journal itself has its own table in `billing.journal`.
"""

from collections.abc import Mapping
from typing import Literal

HaltCase = Literal[
    "unreadable-file",
    "unknown-record-kind",
    "unreadable-record",
    "event-already-stored",
    "event-refused",
    "stored-count-differs",
]

REMEDIES: Mapping[HaltCase, str] = {
    "unreadable-file": "The disk or the rights on the directory do not let the journal be read: look at the machine.",
    "unknown-record-kind": "A newer gateway wrote this journal: start the newer version of billing.",
    "unreadable-record": "A newer gateway wrote this journal: start the newer version of billing.",
    "event-already-stored": "An event id is in two journals, or the offset was set back: compare with `ordergate reconcile`.",
    "event-refused": "The database refuses the event's values: gateway and schema are of different versions.",
    "stored-count-differs": "The database stored fewer rows than it was given: look for rules or triggers on the table.",
}


class ShippingHalted(Exception):
    """A journal that cannot be shipped as it is; its records stay where they are."""

    def __init__(self, case: HaltCase, detail: str) -> None:
        """`case` is in REMEDIES; `detail` names the record or event."""
        super().__init__(f"{case}: {detail}. {REMEDIES[case]}")
        self.case = case
        self.detail = detail
        self.remedy = REMEDIES[case]
