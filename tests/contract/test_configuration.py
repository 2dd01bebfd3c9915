"""Every variable is described, with the default that the code has."""

import re

import pytest

from billing.settings import from_environment as billing_settings
from catalog.vocabulary.settings import DEFAULT_HOME, InvalidSetting
from deploy.configuration import ROOT, TARGET, render, variables
from deploy.settings import from_environment as deploy_settings
from gateway.settings import from_environment as gateway_settings


def test_the_committed_reference_is_what_the_settings_say() -> None:
    assert TARGET.read_text("utf-8") == render(), "run `make configuration`"


def test_every_variable_that_is_read_is_described() -> None:
    described = {variable.name for variable in variables()}
    for source in ("gateway/settings.py", "billing/settings.py", "deploy/settings.py"):
        read = set(
            re.findall(
                r'"((?:ORDERGATE|OTEL|PROMETHEUS|FORWARDED)_[A-Z_0-9]+)"', (ROOT / source).read_text("utf-8")
            )
        )
        assert read <= described, source


def test_the_defaults_are_the_codes_own() -> None:
    gateway = gateway_settings({})
    assert (gateway.auth_stale_max_s, gateway.database_connections) == (300, 8)
    assert gateway.trusted_proxies == "127.0.0.1"
    assert gateway.home.name == deploy_settings({}).home_path.name == DEFAULT_HOME == ".ordergate"
    assert billing_settings({"ORDERGATE_SOCKET_DIR": "/x"}).home.name == ".ordergate"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ORDERGATE_AUTH_STALE_MAX_S", "soon"),
        ("ORDERGATE_AUTH_STALE_MAX_S", "0"),
        ("ORDERGATE_DATABASE_CONNECTIONS", "-1"),
        ("FORWARDED_ALLOW_IPS", "*"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.7,proxy.example"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.7,"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_its_name_and_what_to_write(
    name: str, value: str
) -> None:
    with pytest.raises(InvalidSetting, match=rf"{name}='.*': give "):
        gateway_settings({name: value})


def test_proxies_elsewhere_are_believed_when_they_are_named() -> None:
    assert (
        gateway_settings({"FORWARDED_ALLOW_IPS": "10.0.0.7, 10.1.0.0/16"}).trusted_proxies
        == "10.0.0.7, 10.1.0.0/16"
    )
