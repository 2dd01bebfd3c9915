"""Whatever stands in a case, there is one answer for it: an amount, or field, rule and remedy."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from billing.rate.cases import answer_lines

FILES = sorted((Path(__file__).parents[1] / "unit" / "data" / "pricing").glob("*.json"))
CASES: list[dict[str, Any]] = [case for file in FILES for case in json.loads(file.read_text("utf-8"))]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.floats(-2, 2)
    | st.sampled_from(["", "0", "1.5", "-1", "x"])
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=2),
)


def spoilt(value: Any, draw: Any) -> Any:
    """The value with one place replaced, removed or renamed."""
    if isinstance(value, dict | list) and value and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
        copy = value.copy()
        copy[key] = spoilt(value[key], draw)
        return copy
    return draw(ANYTHING)


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(CASES))
def test_a_spoilt_case_gets_one_answer_and_the_next_case_its_own(
    data: st.DataObject, case: dict[str, Any]
) -> None:
    lines = [json.dumps(spoilt(case, data.draw)), json.dumps(case)]
    first, second = (json.loads(line) for line in answer_lines(lines))
    if "error" in first:
        assert first["error"].keys() == {"field", "rule", "remedy"}
        assert all(isinstance(part, str) for part in first["error"].values())
    else:
        assert Decimal(first["amount"]).is_finite()
    assert second["amount"] == case["expected_amount"]
