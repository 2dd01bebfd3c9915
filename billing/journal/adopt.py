"""Recovering a journal whose writer does not come back."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from billing.journal.directory import JournalInUse, lock
from billing.journal.disk import SystemDisk
from billing.journal.recovery import recover


def adopt(copies: Sequence[Path]) -> bool:
    """Recover a journal if nobody writes it, as its writer would: False if somebody does.

    `copies` are its directory and, where there is one, its mirror's. Without this, damage at the end of a journal
    whose worker never comes back would look like a batch that is still being written, and its mirror would never be
    asked. Raises `JournalDamaged`, OSError.
    """
    directory, mirror = copies[0], copies[1] if len(copies) > 1 else None
    with ExitStack() as held:
        try:
            for copy in copies:
                held.callback(os.close, lock(copy))
        except JournalInUse:
            return False
        recover(SystemDisk(), directory, mirror)
    return True
