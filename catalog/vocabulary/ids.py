"""Identifiers: time-ordered for events, random for everything a person creates; text form with a prefix."""

import base64
import os
import re
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args
from uuid import UUID

from asyncpg.pgproto import pgproto

Environment = Literal["live", "test"]
ENVIRONMENTS: tuple[Environment, ...] = get_args(Environment)

CALL_PREFIX = "call_"
RESULT_PREFIX = "result_"
_CALL_ID = re.compile(f"{CALL_PREFIX}[0-9a-f]{{32}}")
_RESULT_ID = re.compile(f"{RESULT_PREFIX}[0-9a-f]{{32}}")

_FIXED_BITS = 0xF << 76 | 0x3 << 62
_VERSION_7 = 0x7 << 76 | 0x2 << 62


def new_event_id(now_ns: int) -> UUID:
    """A UUIDv7 (RFC 9562, 5.7) of the given moment: 48 bit of milliseconds, then 74 random bits."""
    value = now_ns // 1_000_000 << 80 | int.from_bytes(os.urandom(10), "big")
    # A UUID of the kind that rows come with: made and written out in a fifth of the time of the library's own.
    return pgproto.UUID((value & ~_FIXED_BITS | _VERSION_7).to_bytes(16, "big"))


def event_id_floor(moment: datetime) -> UUID:
    """The smallest event id of a moment: the bound of a day's partition."""
    elapsed = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return UUID(int=(elapsed // timedelta(milliseconds=1)) << 80)


def call_id_text(event_id: UUID) -> str:
    """`call_` and 32 hex digits, as replies and the API show an event's id."""
    return CALL_PREFIX + event_id.hex


def parse_call_id(text: str) -> UUID:
    """The event id of its text form; ValueError if it is none."""
    if not _CALL_ID.fullmatch(text):
        raise ValueError("a call id is 'call_' and 32 hexadecimal digits, in lower case")
    return UUID(hex=text[len(CALL_PREFIX) :])


def result_id_text(result_id: UUID) -> str:
    """`result_` and 32 hex digits, as the API shows a proven result's id: one that a reply stated has its call's digits."""
    return RESULT_PREFIX + result_id.hex


def parse_result_id(text: str) -> UUID:
    """The id of its text form; ValueError if it is none."""
    if not _RESULT_ID.fullmatch(text):
        raise ValueError("a result id is 'result_' and 32 hexadecimal digits, in lower case")
    return UUID(hex=text[len(RESULT_PREFIX) :])


def new_id(prefix: str) -> str:
    """A random identifier such as `acct_k5w2…`: 80 bits, lower-case base 32, safe in URLs and file names."""
    return f"{prefix}_{base64.b32encode(os.urandom(10)).decode().lower()}"
