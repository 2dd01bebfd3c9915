"""What every reply must be, whatever was sent; and what must stand in the books once all of them are in."""

import json
import re
from collections import Counter
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from atomic_services import registry
from billing.journal import JournalReader, journal_directories
from catalog.usage_event import USAGE_EVENT_KIND, decode_event
from catalog.vocabulary.ids import CALL_PREFIX, parse_call_id
from catalog.vocabulary.problem import PROBLEMS
from deploy.home import Home
from gateway.edge import is_call_path
from tests.contract.attacks import Attack

# Refusals of these kinds are about the input and say where in it.
_ABOUT_THE_BODY = ("malformed-json", "invalid-input", "unsupported-country")
_POINTER = re.compile(r"(/([^~/]|~[01])*)*", re.DOTALL)
_CHARGE = re.compile(r"(0|\d+\.\d+) CNY(; estimate)?")
# A well-formed request is refused only for what nobody but the service, or the key's earlier use, could know.
_FAIR = ("too-large", "idempotency-key-reused", "idempotency-in-flight")


class Verdict:
    """Judges replies one by one and keeps count: `counts` by operation and ending, `served` the calls to be billed."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.served: set[UUID] = set()
        self.turned_away: set[UUID] = set()

    def judge(self, attack: Attack, status: int, headers: dict[str, str], body: bytes) -> None:
        """AssertionError for a reply that breaks the contract."""
        assert status < 500, (status, body)
        if not is_call_path(attack.path):
            # What is not the metered surface has ids of requests, not of calls, and is refused like anything else.
            instance = msgspec.json.decode(body)["instance"]
            assert instance.startswith(("req_", CALL_PREFIX))
            self._judge_refusal(attack, status, {**headers, "ordergate-call-id": instance}, body)
            return
        call_id = parse_call_id(headers["ordergate-call-id"])
        if status == 200:
            self._judge_success(attack, headers, body)
            # A replay repeats the reply of the call that is billed, and its id.
            self.served.add(call_id)
            self.counts[attack.operation, "replayed" if "idempotent-replayed" in headers else "ok"] += 1
        else:
            name = self._judge_refusal(attack, status, headers, body)
            self.turned_away.add(call_id)
            self.counts[attack.operation, name] += 1

    def _judge_success(self, attack: Attack, headers: dict[str, str], body: bytes) -> None:
        assert headers["content-type"] == "application/json"
        assert headers["ordergate-units"] == "1"
        assert _CHARGE.fullmatch(headers["ordergate-charge"])
        type_ = registry.operations()[attack.operation].reply
        reply = msgspec.json.decode(body, type=type_)
        # What the type does not know would be lost on the way back.
        assert msgspec.json.decode(msgspec.json.encode(reply)) == msgspec.json.decode(body)

    def _judge_refusal(self, attack: Attack, status: int, headers: dict[str, str], body: bytes) -> str:
        assert headers["content-type"] == "application/problem+json"
        document = msgspec.json.decode(body)
        name = str(document["type"]).removeprefix("/problems/")
        entry = PROBLEMS[name]
        assert (document["status"], status) == (entry.status, entry.status)
        assert (document["title"], document["remedy"]) == (entry.title.en, entry.remedy.en)
        assert document["detail"]
        assert document["instance"] == headers["ordergate-call-id"]
        assert headers.get("ordergate-charge", "0 CNY") == "0 CNY"
        errors = document.get("errors", ())
        assert errors or name not in _ABOUT_THE_BODY
        for error in errors:
            assert error["rule"]
            assert error["detail"]
            assert _POINTER.fullmatch(error["pointer"])
            if name in ("invalid-input", "unsupported-country"):
                assert _points_into(attack.body, error["pointer"], error["rule"]), error
        if attack.well_formed:
            assert "ordergate-units" in headers or name in _FAIR, document
        return name

    async def compare(self, home: Home, admin: asyncpg.Connection) -> None:
        """Every success is billed once, nothing else is, and every event has the id of a reply."""
        billed = Counter(await _billable(home, admin))
        assert set(billed.values()) <= {1}
        assert set(billed) == self.served
        assert not self.served & self.turned_away


def _points_into(body: bytes, pointer: str, rule: str) -> bool:
    """Whether the pointer leads to what is wrong, or to the object from which a field is missing."""
    value: Any = json.loads(body)
    *steps, last = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")]
    for step in steps[1:]:
        value = value[int(step)] if isinstance(value, list) else value[step]
    if not steps:
        return True
    if rule == "required":
        return isinstance(value, dict) and last not in value
    return last in value if isinstance(value, dict) else int(last) < len(value)


async def _billable(home: Home, admin: asyncpg.Connection) -> list[UUID]:
    """Ids of the billable events, in the journals or in the books."""
    rows = await admin.fetch("SELECT id FROM billing.usage_event WHERE billable")
    found = [UUID(str(row["id"])) for row in rows]
    for directory in journal_directories(home.journals):
        reader = JournalReader(directory)
        try:
            last = 0
            while (page := reader.read_after(last, 8 * 1024 * 1024)).records:
                last = page.last_seq
                events = [decode_event(one.payload) for one in page.records if one.kind == USAGE_EVENT_KIND]
                found += [event.uuid for event in events if event.billable]
        finally:
            reader.close()
    return found
