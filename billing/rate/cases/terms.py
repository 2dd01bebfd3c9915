"""The terms of a case: its price, and the policy flags by which cases of different systems tell their rules.

Flags stand in the price or beside it. `round: line_half_up|line_half_even` and `mode: half_up|half_away_from_zero|
half_even` choose the line's rounding; `policy: ALL_TIERS|TOP_TIER` chooses between the graduated and the volume form of
a tiered model; `zero_usage…` and other values of `round` are fields of the price. A flag that cannot be honoured
is refused; any other field that no price model knows describes the case, is passed over and reported.

`per_bucket: true`, or the model `bucketed` with the bucket's price written flat, is the nested form of a passport; tiers are
graduated there unless `mode: volume` says otherwise.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from billing.rate.cases.refusal import refused
from catalog.plan import MODELS, Price, parse_price
from catalog.plan.price import Modifiers
from catalog.terms_error import TermsError
from catalog.vocabulary.exact import LineRounding
from catalog.vocabulary.problem import Problem

_FLAGS = ("zero_usage_bills_first_tier_flat", "zero_usage", "round", "mode", "policy", "order")
_ROUNDINGS: dict[str, LineRounding] = {
    "half_up": "half_up",
    "half_away_from_zero": "half_up",
    "half_even": "half_even",
}
_GRADUATED_AND_VOLUME = (
    ("graduated", "volume"),
    ("graduated_percentage", "volume_percentage"),
    ("block_graduated", "block_volume"),
)
_POLICIES = {"ALL_TIERS": 0, "TOP_TIER": 1}
_ALL_FIELDS = {name for kind in MODELS.values() for name in kind.__struct_fields__}


class CaseTerms(msgspec.Struct, frozen=True):
    """A case's price, how its line is rounded, and which of its fields were taken for descriptions."""

    price: Price
    rounding: LineRounding
    ignored: tuple[str, ...]


def terms_of(case: Mapping[str, Any]) -> CaseTerms:
    """The terms of a case; `Problem` with pointers relative to the case."""
    model, raw = case.get("model"), case.get("price")
    if not isinstance(model, str) or model not in MODELS:
        raise refused("/model", "model", f"name one of the price models: {', '.join(MODELS)}")
    if not isinstance(raw, Mapping):
        raise refused("/price", "required", "the price is an object of the model's fields")
    fields = {flag: case[flag] for flag in _FLAGS if flag in case} | dict(raw)
    fields = {name: value for name, value in fields.items() if value is not None}
    if "order" in fields:
        raise refused("/price/order", "policy", "the order of the modifiers is fixed; remove this flag")
    bucket_model = _bucket_model(model, fields)
    rounding = _line_rounding(fields)
    model = _by_policy(bucket_model or model, fields)
    ignored = _descriptions(model, fields)
    fields = {name: value for name, value in fields.items() if name not in ignored}
    if bucket_model is not None:
        model, fields = "bucketed", _nested(model, fields)
    try:
        price = parse_price(model, fields)
    except TermsError as error:
        raise Problem("invalid-input", str(error), errors=error.under("/price").errors) from None
    return CaseTerms(price, rounding, ignored)


def _line_rounding(fields: dict[str, Any]) -> LineRounding:
    """Takes the flags of line rounding out of the fields."""
    name = "half_up"
    place = "/price/mode"
    if str(fields.get("round")).startswith("line_"):
        name, place = str(fields.pop("round")).removeprefix("line_"), "/price/round"
    elif "mode" in fields:
        name = str(fields.pop("mode"))
    if name not in _ROUNDINGS:
        raise refused(place, "policy", f"a line is rounded by one of {', '.join(_ROUNDINGS)}")
    return _ROUNDINGS[name]


def _by_policy(model: str, fields: dict[str, Any]) -> str:
    """Takes the tier policy out of the fields; the model that it asks for."""
    if "policy" not in fields:
        return model
    policy = fields.pop("policy")
    forms = next((pair for pair in _GRADUATED_AND_VOLUME if model in pair), None)
    if forms is None or not isinstance(policy, str) or policy not in _POLICIES:
        raise refused(
            "/price/policy", "policy", f"tiered models know {', '.join(_POLICIES)}; remove this flag"
        )
    return forms[_POLICIES[policy]]


def _bucket_model(model: str, fields: dict[str, Any]) -> str | None:
    """Takes `per_bucket` out of the fields; the model of one bucket where the price is written flat."""
    per_bucket = fields.pop("per_bucket", False) is True
    if model != "bucketed":
        return model if per_bucket else None
    if "price" in fields:
        return None
    by_volume = fields.get("mode") in ("volume", "graduated") and fields.pop("mode") == "volume"
    tiers = fields.get("tiers")
    if isinstance(tiers, list):
        first = tiers[0] if tiers and isinstance(tiers[0], Mapping) else {}
        family = 2 if "block_size" in first else 1 if "rate_pct" in first else 0
        return _GRADUATED_AND_VOLUME[family][by_volume]
    by_field = {
        "package_size": "package",
        "unit_price": "per_unit",
        "multiplier": "dynamic",
        "amount": "flat",
    }
    for field, found in by_field.items():
        if field in fields:
            return found
    raise refused("/price", "required", "state the price of a bucket: its model and price, or its fields")


def _descriptions(model: str, fields: Mapping[str, Any]) -> tuple[str, ...]:
    """The fields that no price model knows, and the flag for a tier's flat fee where there are no tiers."""
    without_effect = {"zero_usage_bills_first_tier_flat"} - set(MODELS[model].__struct_fields__)
    return tuple(sorted(name for name in fields if name not in _ALL_FIELDS or name in without_effect))


def _nested(bucket_model: str, fields: dict[str, Any]) -> dict[str, Any]:
    outer = {name: value for name, value in fields.items() if name in Modifiers.__struct_fields__}
    inner = {name: value for name, value in fields.items() if name not in outer}
    return {"model": bucket_model, "price": inner, **outer}
