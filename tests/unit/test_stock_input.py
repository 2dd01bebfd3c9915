"""What a stock operation takes at all."""

from typing import Any

import pytest

from atomic_services.contract import CallContext
from atomic_services.stock import SERVICE
from catalog.vocabulary.ids import new_event_id
from catalog.vocabulary.problem import Problem
from catalog.vocabulary.strict_json import convert
from tests.stock_calls import START


def _line(sku: str, quantity: int) -> dict[str, Any]:
    return {"sku": sku, "quantity": quantity}


@pytest.mark.parametrize(
    ("operation", "fields", "pointer"),
    [
        ("reserve", {"reservation_id": "r", "lines": [], "ttl_s": 1}, "/lines"),
        ("reserve", {"reservation_id": "r", "lines": [_line("A", 1)] * 101, "ttl_s": 1}, "/lines"),
        ("reserve", {"reservation_id": "r", "lines": [_line("A", 0)], "ttl_s": 1}, "/lines/0/quantity"),
        ("reserve", {"reservation_id": "r", "lines": [_line("A", 2**31)], "ttl_s": 1}, "/lines/0/quantity"),
        ("reserve", {"reservation_id": "r", "lines": [_line("A\n", 1)], "ttl_s": 1}, "/lines/0/sku"),
        ("reserve", {"reservation_id": "r", "lines": [_line("A" * 65, 1)], "ttl_s": 1}, "/lines/0/sku"),
        ("reserve", {"reservation_id": "r", "lines": [_line("A", 1)], "ttl_s": 86_401}, "/ttl_s"),
        ("reserve", {"reservation_id": "r r", "lines": [_line("A", 1)], "ttl_s": 1}, "/reservation_id"),
        ("extend", {"reservation_id": "r", "ttl_s": 0}, "/ttl_s"),
        ("adjust", {"sku": "A", "warehouse": "", "quantity": 1, "reason": "x"}, "/warehouse"),
        ("availability", {"skus": []}, "/skus"),
        ("release", {"reservation_id": "r", "force": True}, "/force"),
    ],
)
def test_input_out_of_bounds_is_refused_with_its_place(
    operation: str, fields: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(Problem) as problem:
        convert(fields, SERVICE.operations[operation].request)
    assert [error.pointer for error in problem.value.errors] == [pointer]


async def test_without_a_transaction_nothing_can_be_read_or_changed() -> None:
    context = CallContext(new_event_id(0), "live", "acct_a", "app_a", START)
    operation = SERVICE.operations["availability"]
    with pytest.raises(AssertionError, match="no effect"):
        await operation.run(operation.request(skus=("A",)), context)
