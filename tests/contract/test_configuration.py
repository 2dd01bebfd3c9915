"""Every variable is described, with the default that the code has."""

import re

from billing.settings import from_environment as billing_settings
from deploy.configuration import ROOT, TARGET, render, variables
from deploy.settings import from_environment as deploy_settings
from gateway.settings import from_environment as gateway_settings


def test_the_committed_reference_is_what_the_settings_say() -> None:
    assert TARGET.read_text("utf-8") == render(), "run `make configuration`"


def test_every_variable_that_is_read_is_described() -> None:
    described = {variable.name for variable in variables()}
    for source in ("gateway/settings.py", "billing/settings.py", "deploy/settings.py"):
        read = set(
            re.findall(r'"((?:ORDERGATE|OTEL|PROMETHEUS)_[A-Z_0-9]+)"', (ROOT / source).read_text("utf-8"))
        )
        assert read <= described, source


def test_the_defaults_are_the_codes_own() -> None:
    gateway = gateway_settings({})
    assert (gateway.auth_stale_max_s, gateway.database_connections) == (300, 8)
    assert gateway.home.name == deploy_settings({}).home_path.name == ".ordergate"
    assert billing_settings({"ORDERGATE_SOCKET_DIR": "/x"}).home.name == ".ordergate"
