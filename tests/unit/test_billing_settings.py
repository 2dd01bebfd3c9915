"""Billing's settings come from the environment, and what cannot be used is named."""

from pathlib import Path

import pytest

from billing.settings import from_environment
from catalog.vocabulary.settings import InvalidSetting


def test_the_embedded_server_is_reached_by_its_socket_as_billings_own_role() -> None:
    settings = from_environment({"ORDERGATE_HOME": "/srv/og", "ORDERGATE_SOCKET_DIR": "/srv/og/socket"})

    assert settings.journals == Path("/srv/og/journals")
    assert settings.connect_arguments() == {
        "host": "/srv/og/socket",
        "user": "ordergate_billing",
        "database": "ordergate",
        "server_settings": {},
    }


def test_a_foreign_server_is_reached_by_its_address_and_the_role_is_taken_there() -> None:
    settings = from_environment(
        {"ORDERGATE_DATABASE_URL": "postgresql://db/og", "ORDERGATE_SOCKET_DIR": "/unused"}
    )

    assert settings.connect_arguments() == {
        "dsn": "postgresql://db/og",
        "server_settings": {"role": "ordergate_billing"},
    }


def test_state_lies_in_the_current_directory_unless_named() -> None:
    settings = from_environment(
        {"ORDERGATE_SOCKET_DIR": "/socket", "ORDERGATE_JOURNAL_MIRROR": "/second/disk"}
    )

    assert settings.home == Path(".ordergate").absolute()
    assert settings.journal_mirror == Path("/second/disk")


def test_without_a_database_nothing_starts() -> None:
    with pytest.raises(InvalidSetting, match="ORDERGATE_DATABASE_URL"):
        from_environment({})
