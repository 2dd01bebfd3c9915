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


def served_by_journals(root: Path) -> Mapping[Environment, int]:
    """Usage records of the kept segments of every journal under `root`, by environment; raises `AuditError`."""
    counts: Counter[Environment] = Counter(dict.fromkeys(ENVIRONMENTS, 0))
    for directory in sorted(root.iterdir()) if root.is_dir() else ():
        if directory.is_dir():
            for _, _, payload in iter_payloads(directory, _USAGE_EVENT_KIND):
                counts[msgspec.msgpack.decode(payload)[_ENVIRONMENT_FIELD]] += 1
    return counts
