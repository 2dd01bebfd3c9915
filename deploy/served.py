"""The "served" book of `ordergate reconcile`: receipts in the journals, counted without the product's own reader."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec

from catalog.vocabulary.ids import ENVIRONMENTS, Environment
from deploy.journal_audit import iter_payloads

# billing/journal/README.md and catalog/usage_event.py fix both for ever.
_USAGE_EVENT_KIND = 1
_ENVIRONMENT_FIELD = 2


def served_by_journals(root: Path, until: Mapping[Path, int] | None = None) -> Mapping[Environment, int]:
    """Usage records of the kept segments of every journal under `root`, by environment; raises `AuditError`.

    `until` has the last sequence number to count of each journal directory; one that it lacks is left out.
    """
    counts: Counter[Environment] = Counter(dict.fromkeys(ENVIRONMENTS, 0))
    for directory in sorted(root.iterdir()) if root.is_dir() else ():
        if directory.is_dir() and (until is None or directory in until):
            last = None if until is None else until[directory]
            for _, _, payload in iter_payloads(directory, _USAGE_EVENT_KIND, last):
                counts[msgspec.msgpack.decode(payload)[_ENVIRONMENT_FIELD]] += 1
    return counts
