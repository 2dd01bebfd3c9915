"""What is called, decided by a seed: a random but repeatable sequence of units, each a few calls in order."""

import random
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

import msgspec

Kind = Literal["address", "stock"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_SKUS = tuple(f"SKU-{number:02d}" for number in range(24))
_WAREHOUSES = ("SH-1", "HH-2")
_ADDRESSES: tuple[Mapping[str, Any], ...] = (
    {"country": "DE", "postal_code": "10115", "locality": "Berlin", "lines": ["Invalidenstr. 116"]},
    {"country": "CN", "lines": ["广东省深圳市南山区深南大道9988号"]},
    {"country": "CN", "dependent_locality": "鼓楼区", "lines": ["中山路1号"]},
    {"country": "GB", "postal_code": "sw1a2aa", "locality": "London", "lines": ["10 Downing Street"]},
    # Not a country: the service judges it to be the caller's mistake, which is recorded like every other call.
    {"country": "ZZ", "lines": ["1 Nowhere"]},
)


class Credential(msgspec.Struct, frozen=True):
    """A line of the `--keys` file: an API key and the account that pays for it."""

    account: str
    key: str


class Step(msgspec.Struct, frozen=True):
    """One call. `change` is what it adds to a SKU's stock if it ends well; without a key it is never sent twice."""

    operation: str
    body: bytes
    idempotency_key: str | None = None
    change: Mapping[str, int] = {}


class Unit(msgspec.Struct, frozen=True):
    """Calls of one account that follow each other."""

    credential: Credential
    steps: tuple[Step, ...]


def plan(
    seed: int, calls: int, mix: Mapping[Kind, float], credentials: tuple[Credential, ...]
) -> Iterator[Unit]:
    """Units that come to exactly `calls` calls; `mix` are the weights of the kinds. The same seed, the same plan."""
    source = random.Random(seed)
    left, number = calls, 0
    while left:
        number += 1
        (kind,) = source.choices(tuple(mix), weights=tuple(mix.values()))
        credential = source.choice(credentials)
        # Names carry the seed, so that two runs against one installation never share a reservation or a key.
        steps = _address(source) if kind == "address" else _stock(source, f"{seed}-{number}")
        steps = steps[:left]
        left -= len(steps)
        yield Unit(credential, steps)


def _address(source: random.Random) -> tuple[Step, ...]:
    operation = source.choice(("address/validate", "address/normalise"))
    return (Step(operation, msgspec.json.encode(source.choice(_ADDRESSES))),)


def _stock(source: random.Random, name: str) -> tuple[Step, ...]:
    sku, warehouse = source.choice(_SKUS), source.choice(_WAREHOUSES)
    (deed,) = source.choices(("receive", "take", "confirm", "release", "look"), weights=(40, 10, 25, 15, 10))
    if deed == "look":
        return (Step("stock/availability", msgspec.json.encode({"skus": [sku]})),)
    if deed in ("receive", "take"):
        quantity = source.randint(1, 9) if deed == "receive" else -source.randint(1, 5)
        request = {"sku": sku, "warehouse": warehouse, "quantity": quantity, "reason": "count"}
        return (_keyed("stock/adjust", request, name, {sku: quantity}),)
    quantity = source.randint(1, 3)
    reserve = {"reservation_id": name, "lines": [{"sku": sku, "quantity": quantity}], "ttl_s": 86_400}
    end = {"reservation_id": name}
    change = {sku: -quantity} if deed == "confirm" else {}
    return (
        _keyed("stock/reserve", reserve, f"{name}-r", {}),
        _keyed(f"stock/{deed}", end, f"{name}-e", change),
    )


def _keyed(operation: str, request: Mapping[str, Any], key: str, change: Mapping[str, int]) -> Step:
    return Step(operation, msgspec.json.encode(request), key, change)
