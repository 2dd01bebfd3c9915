"""Whatever is sent, the reply is the operation's or a problem of the table, never ours to blame, and billed only on success.

The requests are the same every time; `python -m tests.contract.fuzz` looks for new ones.
"""

from collections import Counter
from collections.abc import AsyncIterator

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from atomic_services import registry
from tests.contract.attacks import Attack, attacks, one_of_each
from tests.contract.fuzz import BATCH_MAX, UNHURRIED, Target, good_ones, target_in
from tests.gateways import RunningGateway

_ALWAYS_THE_SAME = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=UNHURRIED,
    report_multiple_bugs=False,
)
# Of all operations over HTTP.
_SWEEPS = 16


@pytest.fixture
async def target(gateway: RunningGateway) -> AsyncIterator[Target]:
    """A worker to be attacked. Afterwards its books must hold every success once and nothing else to bill."""
    target = await target_in(gateway)
    yield target
    await target.compare_books()


@pytest.fixture
async def reached(target: Target) -> AsyncIterator[Target]:
    """The same, and good requests to every operation must have been among the bad ones, of which each had its share."""
    yield target
    reached = {operation for operation, ending in target.verdict.counts if ending == "ok"}
    assert reached == set(registry.operations())
    answered = _answers(target)
    assert min(answered.values()) >= _SWEEPS, answered


@pytest.fixture
async def reached_over_http(target: Target) -> AsyncIterator[Target]:
    """The same, and every operation must have answered in most of the sweeps: a server may close a connection silently."""
    before = _answers(target)
    yield target
    answered = _answers(target) - before
    assert set(answered) == set(registry.operations())
    assert min(answered.values()) > _SWEEPS // 2, answered


def _answers(target: Target) -> Counter[str]:
    answers: Counter[str] = Counter()
    for (operation, _), times in target.verdict.counts.items():
        answers[operation] += times
    return answers


@settings(_ALWAYS_THE_SAME, max_examples=100)
@given(batch=st.lists(attacks(), min_size=1, max_size=BATCH_MAX) | one_of_each())
@example(batch=good_ones())
async def test_every_operation_keeps_its_contract_whatever_is_sent(
    reached: Target, batch: list[Attack]
) -> None:
    await reached.attack(batch)


@settings(_ALWAYS_THE_SAME, max_examples=_SWEEPS)
@given(attacks=one_of_each())
async def test_and_so_it_does_over_http(reached_over_http: Target, attacks: list[Attack]) -> None:
    for attack in attacks:
        await reached_over_http.attack_over_http(attack)
