"""Whatever is sent, the reply is the operation's or a problem of the table, never ours to blame, and billed only on success.

The requests are the same every time; `python -m tests.contract.fuzz` looks for new ones.
"""

from collections.abc import AsyncIterator

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from atomic_services import registry
from tests.contract.attacks import Attack, attacks
from tests.contract.fuzz import BATCH_MAX, UNHURRIED, Target, target_in
from tests.gateways import RunningGateway

_ALWAYS_THE_SAME = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=UNHURRIED,
    report_multiple_bugs=False,
)


@pytest.fixture
async def target(gateway: RunningGateway) -> AsyncIterator[Target]:
    """A worker to be attacked. Afterwards its books must hold every success once and nothing else to bill."""
    target = await target_in(gateway)
    yield target
    await target.compare_books()


@pytest.fixture
async def reached(target: Target) -> AsyncIterator[Target]:
    """The same, and good requests to every operation must have been among the bad ones."""
    yield target
    reached = {operation for operation, ending in target.verdict.counts if ending == "ok"}
    assert reached == set(registry.operations())


@settings(_ALWAYS_THE_SAME, max_examples=200)
@given(batch=st.lists(attacks(), min_size=1, max_size=BATCH_MAX))
async def test_every_operation_keeps_its_contract_whatever_is_sent(
    reached: Target, batch: list[Attack]
) -> None:
    await reached.attack(batch)


@settings(_ALWAYS_THE_SAME, max_examples=200)
@given(attack=attacks())
async def test_and_so_it_does_over_http(target: Target, attack: Attack) -> None:
    await target.attack_over_http(attack)
