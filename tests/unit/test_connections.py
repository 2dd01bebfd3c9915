"""Pools never ask for more connections than the server has."""

from pathlib import Path

import pytest

from deploy.connections import connections_needed, max_connections
from deploy.embedded_postgres.configuration import CONNECTIONS_MIN, server_arguments
from gateway.control import books


@pytest.mark.parametrize("workers", [1, 2, 5, 8, 64])
def test_there_is_room_for_every_pool_at_its_largest(workers: int) -> None:
    calls, readers, listener, billing, superusers = 8, books._READERS_MAX, 1, 4, 3
    pools = workers * (calls + readers + listener) + billing
    assert max_connections(workers, calls) >= pools + superusers
    assert connections_needed(workers, 100) - connections_needed(workers, 1) == 99 * workers


def test_the_embedded_server_gets_as_many_as_it_is_started_for_and_never_few() -> None:
    def granted(connections: int) -> str:
        arguments = server_arguments(Path("data"), Path("socket"), connections)
        (setting,) = [one for one in arguments if one.startswith("max_connections=")]
        return setting.partition("=")[2]

    assert granted(max_connections(8, 8)) == str(max_connections(8, 8))
    assert granted(3) == str(CONNECTIONS_MIN)
