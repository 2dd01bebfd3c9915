"""What the fake remembers: objects by kind in the order in which they were made, and the events that this caused."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from itertools import count
from typing import Any

from catalog.vocabulary.clock import Clock
from tests.fakes.stripe_server.errors import invalid, missing
from tests.fakes.stripe_server.params import integer

Object = dict[str, Any]
_LIMIT_MAX = 100


class Store:
    """The objects of one Stripe account."""

    def __init__(self, clock: Clock) -> None:
        """`clock` is Stripe's: tests may let it differ from the product's."""
        self._clock = clock
        # Whether objects are those of the account's live mode.
        self.livemode = False
        self._numbers = count(1)
        self._objects: dict[str, dict[str, Object]] = {}
        self.events: list[Object] = []

    @property
    def now(self) -> int:
        """Seconds since the epoch."""
        return self._clock.now_ns() // 1_000_000_000

    def new_id(self, prefix: str) -> str:
        """The next id with this prefix."""
        return f"{prefix}_{next(self._numbers):024d}"

    def add(self, kind: str, prefix: str, fields: Object) -> Object:
        """Keep a new object of a kind, such as `invoice`."""
        one = {
            "id": self.new_id(prefix),
            "object": kind,
            "created": self.now,
            "livemode": self.livemode,
            **fields,
        }
        self._objects.setdefault(kind, {})[one["id"]] = one
        return one

    def get(self, kind: str, object_id: str, param: str = "id") -> Object:
        """The object itself, to be changed in place."""
        found = self._objects.get(kind, {}).get(object_id)
        if found is None:
            raise missing(kind, object_id, param)
        return found

    def all(self, kind: str) -> list[Object]:
        """Objects of a kind, oldest first."""
        return list(self._objects.get(kind, {}).values())

    def remove(self, kind: str, object_id: str) -> None:
        """Forget an object."""
        del self._objects[kind][object_id]

    def emit(self, type_: str, subject: Object) -> None:
        """An event with the object as it is now."""
        self.events.append(
            {
                "id": self.new_id("evt"),
                "object": "event",
                "api_version": "2026-10-28.endive",
                "created": self.now,
                "livemode": self.livemode,
                "pending_webhooks": 1,
                "request": {"id": None, "idempotency_key": None},
                "type": type_,
                "data": {"object": deepcopy(subject)},
            }
        )

    def page(
        self, kind: str, params: Mapping[str, Any], matches: Callable[[Object], bool], url: str
    ) -> Object:
        """Newest first, as Stripe lists; `limit` 1 to 100, `starting_after` an id."""
        return paged([one for one in reversed(self.all(kind)) if matches(one)], params, url)


def paged(found: list[Object], params: Mapping[str, Any], url: str) -> Object:
    """One page of a list."""
    limit = integer(params, "limit", 10)
    if not 1 <= limit <= _LIMIT_MAX:
        raise invalid("Invalid limit: between 1 and 100.", "limit")
    start = 0
    if (after := params.get("starting_after")) is not None:
        ids = [one["id"] for one in found]
        if after not in ids:
            raise missing("object", after, "starting_after")
        start = ids.index(after) + 1
    page = found[start : start + limit]
    return {"object": "list", "url": url, "has_more": start + limit < len(found), "data": page}
