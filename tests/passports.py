"""A small passport for tests that publish, sell and subscribe."""

from importlib import resources
from typing import Any

from ruamel.yaml import YAML

from catalog.passport import Passport, check_passport


def echo_document(**fields: Any) -> dict[str, Any]:
    """The bench service's passport as plain values, made public under the name `echo`, with `fields` replaced."""
    text = resources.files("atomic_services.bench").joinpath("passport.yaml").read_text("utf-8")
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    plans = [plan("standard", unit_price="0.05")]
    return {**document, "service": "echo", "visibility": "public", "plans": plans, **fields}


def echo_passport(**fields: Any) -> Passport:
    """The same, checked."""
    return check_passport(echo_document(**fields))


def plan(id_: str, *, unit_price: str = "0.05", currency: str = "CNY", **fields: Any) -> dict[str, Any]:
    """A plan with one price per unit of `echo`."""
    price = {
        "operation": "echo",
        "currency": currency,
        "model": "per_unit",
        "price": {"unit_price": unit_price},
    }
    defaults = {"audience": "both", "effective_from": "2026-01-01", "billable_on": "success"}
    return {"id": id_, **defaults, "prices": [price], **fields}
