"""The demo group's calls as a journal of their own, complete or not there at all."""

import asyncio
import os
import shutil
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from billing.journal import Journal
from catalog.usage_event import USAGE_EVENT_KIND, UsageEvent, encode_record
from catalog.vocabulary.clock import Clock
from deploy.home import Home

# A chunk stays below what a journal lets wait, and a full segment gives its unused part back.
_CHUNK = 4_000
_SEGMENT_BYTES = 4 * 1024 * 1024


def demo_journal(home: Home) -> Path:
    """Where the journal is. Workers' journals have other names, so none of them ever writes it."""
    return home.journals / "demo"


async def record(home: Home, events: Iterable[UsageEvent], clock: Clock) -> None:
    """Write the journal of these calls. It gets its name when everything is durable, so a crash leaves none."""
    unfinished = _unfinished(home)
    shutil.rmtree(unfinished, ignore_errors=True)
    journal = await Journal.open(unfinished, clock=clock, segment_bytes=_SEGMENT_BYTES)
    try:
        payloads = (encode_record(event) for event in events)
        while chunk := list(islice(payloads, _CHUNK)):
            await asyncio.gather(*[journal.append(USAGE_EVENT_KIND, payload) for payload in chunk])
    finally:
        await journal.close()
    _rename(unfinished, demo_journal(home))


def drop_journal(home: Home) -> None:
    """Remove the journal, finished or not: a crash leaves it whole or without its name."""
    shutil.rmtree(_unfinished(home), ignore_errors=True)
    if demo_journal(home).exists():
        _rename(demo_journal(home), _unfinished(home))
        shutil.rmtree(_unfinished(home))


def _unfinished(home: Home) -> Path:
    """On the journals' own disk, but where no shipper looks."""
    return home.run / "demo-journal"


def _rename(source: Path, target: Path) -> None:
    source.rename(target)
    for folder in (source.parent, target.parent):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
