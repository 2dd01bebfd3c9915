"""The service passport: what a service promises, how it is called, what it costs and who answers for it."""

import hashlib
import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from io import StringIO
from typing import Any, Literal

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from catalog import limit, meter, sla
from catalog.limit import Limit, Rate
from catalog.meter import Meter
from catalog.plan import Plan, parse_plan
from catalog.sla import Sla
from catalog.terms_error import TermsError
from catalog.vocabulary.money import decimal_of, is_currency
from catalog.vocabulary.problem import PROBLEMS, FieldError, Text
from catalog.vocabulary.strict_json import field_error

BYTES_MAX = 256 * 1024
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_SCHEMA = re.compile(r"schema\.py:[A-Z][A-Za-z0-9]*")

# What the code decides and a publication cannot change; everything else is terms, which the registry owns.
_INTERFACE = (
    "effect",
    "idempotency",
    "request",
    "reply",
    "problems",
    "success_when",
    "meter",
    "personal_data",
)


class PassportRefused(ValueError):
    """A passport that cannot be published, with everything that is wrong with it."""

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        super().__init__(
            "; ".join(f"{error.pointer or '/'}: {error.detail} ({error.rule})" for error in errors)
        )
        self.errors = errors


class Owner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who answers for the service."""

    team: str
    contact: str
    on_call: str = ""


class Binding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where calls are computed: by a service of this installation."""

    kind: Literal["local"]


class Share(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A unit's share of revenue and credits, in percent."""

    unit: str
    share_pct: str


class SchemaReference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`schema.py:Name`: a struct of the service's own package, never a path of the publisher's."""

    schema: str


class Freshness(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How old the feed behind an answer may be; null where no feed is used."""

    max_age_s: int | None = None


class Example(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request and what its reply contains at least."""

    name: Text
    request: dict[str, Any]
    reply: dict[str, Any] = {}


class OperationEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One operation of a passport."""

    id: str
    summary: Text
    effect: Literal["none", "transactional"]
    idempotency: Literal["not_needed", "optional", "required"]
    deadline_ms: int
    max_body_bytes: int
    request: SchemaReference
    reply: SchemaReference
    meter: Meter
    problems: tuple[str, ...] = ()
    success_when: str = "status == 200"
    freshness: Freshness = Freshness()
    personal_data: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()


class Cost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one call costs the provider; for margins, never shown to payers."""

    operation: str
    currency: str
    unit_cost: str


class Deprecation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Since when a service is deprecated, when it ends, and what replaces it."""

    deprecation: date
    sunset: date
    replaced_by: str = ""


class Deprecated(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The lifecycle state `{deprecated: {deprecation, sunset, replaced_by}}`."""

    deprecated: Deprecation


class Passport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole passport. `plans` stays as written; `parsed_plans` reads it."""

    service: str
    version: str
    owner: Owner
    name: Text
    summary: Text
    visibility: Literal["public", "group", "private"]
    criticality: Literal["core", "support"]
    binding: Binding
    operations: tuple[OperationEntry, ...]
    sla: Sla
    plans: tuple[dict[str, Any], ...]
    lifecycle: Literal["draft", "review", "published", "retired"] | Deprecated
    delivered_by: tuple[Share, ...] = ()
    limits: tuple[Limit, ...] = ()
    costs: tuple[Cost, ...] = ()

    @property
    def major(self) -> int:
        """The number in the path: `/v1/…`."""
        return int(self.version.split(".", 1)[0])

    @property
    def parsed_plans(self) -> tuple[Plan, ...]:
        """The plans as price terms."""
        return tuple(parse_plan(plan) for plan in self.plans)

    @property
    def deprecation(self) -> Deprecation | None:
        """Deprecation dates, if the service is deprecated."""
        return self.lifecycle.deprecated if isinstance(self.lifecycle, Deprecated) else None

    @property
    def callable(self) -> bool:
        """Whether operations answer: published or deprecated."""
        return self.lifecycle == "published" or self.deprecation is not None

    def operation(self, operation_id: str) -> OperationEntry | None:
        """The operation of that id."""
        return next((entry for entry in self.operations if entry.id == operation_id), None)

    def rate(self, per: Literal["application", "account"]) -> Rate | None:
        """The rate limit for one application or for the whole account."""
        return next((rule for rule in self.limits if isinstance(rule, Rate) and rule.per == per), None)


def read_passport(text: str) -> Passport:
    """The passport of a YAML document, checked in full; `PassportRefused` names each field, rule and remedy."""
    return check_passport(_load_yaml(text))


def check_passport(document: Any) -> Passport:
    """The same for a document that is decoded already, as the registry stores it."""
    if not isinstance(document, Mapping):
        raise PassportRefused((FieldError("", "type", "a passport is a mapping of fields"),))
    try:
        passport = msgspec.convert(document, Passport)
    except msgspec.ValidationError as error:
        found = field_error(error)
        if "expected `str`" in found.detail:
            # YAML reads 1.0 as a number and 2026-01-01 as a date.
            found = FieldError(found.pointer, found.rule, f"{found.detail.rstrip('.')}; write it in quotes")
        raise PassportRefused((found,)) from None
    errors = tuple(_rules_broken(passport))
    if errors:
        raise PassportRefused(errors)
    return passport


def document_of(passport: Passport) -> dict[str, Any]:
    """The passport as plain JSON values, for storage; `check_passport` reads it back."""
    # Through JSON, so that it equals what storage gives back: there tuples have become arrays.
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(passport))
    return document


def interface_of(passport: Passport) -> dict[str, Any]:
    """What the code decides: the operations, their schemas, effects and meters, under the version they belong to."""
    return {
        "service": passport.service,
        "version": passport.version,
        "binding": msgspec.to_builtins(passport.binding),
        "operations": {
            entry.id: {name: msgspec.to_builtins(getattr(entry, name)) for name in _INTERFACE}
            for entry in passport.operations
        },
    }


def interface_digest(passport: Passport) -> str:
    """A SHA-256 over the interface: equal digests mean that only terms differ."""
    return hashlib.sha256(msgspec.json.encode(interface_of(passport), order="sorted")).hexdigest()


def interface_changes(owned: Passport, offered: Passport) -> list[FieldError]:
    """Where a passport offered for publication departs from the interface that the code owns."""
    found: list[FieldError] = []
    if offered.version != owned.version:
        found.append(
            FieldError(
                "/version",
                "interface",
                f"this installation runs version {owned.version}; publish terms for it",
            )
        )
    found.extend(
        FieldError(
            "/operations",
            "interface",
            f"operation {entry.id!r} is missing; only a new major version drops one",
        )
        for entry in owned.operations
        if offered.operation(entry.id) is None
    )
    for index, entry in enumerate(offered.operations):
        own = owned.operation(entry.id)
        if own is None:
            found.append(
                FieldError(
                    f"/operations/{index}/id",
                    "interface",
                    f"the service has no operation {entry.id!r}; remove it",
                )
            )
            continue
        found.extend(
            FieldError(
                f"/operations/{index}/{name}",
                "interface",
                f"the code decides this; write {msgspec.json.encode(getattr(own, name)).decode()}",
            )
            for name in _INTERFACE
            if getattr(own, name) != getattr(entry, name)
        )
    return found


def with_terms(interface: Passport, terms: Passport) -> Passport:
    """A new interface of the code under the terms that the registry holds.

    Operations that are new with this interface bring their own prices, costs and limits from its file.
    """
    known = {entry.id for entry in terms.operations}
    added = {entry.id for entry in interface.operations} - known
    operations = tuple(
        entry if (held := terms.operation(entry.id)) is None
        else msgspec.structs.replace(entry, deadline_ms=held.deadline_ms, max_body_bytes=held.max_body_bytes)
        for entry in interface.operations
    )  # fmt: skip
    remaining = {entry.id for entry in interface.operations}

    def merged_plan(plan: dict[str, Any]) -> dict[str, Any]:
        own: dict[str, Any] = next(
            (one for one in interface.plans if one["id"] == plan["id"]), {"prices": []}
        )
        kept = [price for price in plan["prices"] if price["operation"] in remaining]
        return {**plan, "prices": kept + [price for price in own["prices"] if price["operation"] in added]}

    return msgspec.structs.replace(
        terms,
        version=interface.version,
        binding=interface.binding,
        operations=operations,
        plans=tuple(merged_plan(plan) for plan in terms.plans),
        costs=tuple(cost for cost in terms.costs if cost.operation in remaining)
        + tuple(cost for cost in interface.costs if cost.operation in added),
    )


def _load_yaml(text: str) -> Any:
    def refuse(rule: str, detail: str) -> PassportRefused:
        return PassportRefused((FieldError("", rule, detail),))

    if len(text.encode("utf-8", "surrogatepass")) > BYTES_MAX:
        raise refuse("size", f"a passport is at most {BYTES_MAX // 1024} KiB")
    try:
        # Aliases could grow a small text into a huge document; without anchors there are none.
        anchored = any(
            getattr(event, "anchor", None) is not None
            for event in YAML(typ="safe", pure=True).parse(StringIO(text))
        )
        document = None if anchored else YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise refuse("yaml", f"this is not YAML 1.2{line}: {error.problem}") from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise refuse(
            "yaml", f"this is not YAML 1.2: {(str(error) or type(error).__name__).splitlines()[0]}"
        ) from None
    if anchored:
        raise refuse("yaml-alias", "write values out instead of using anchors and aliases")
    return document


def _rules_broken(passport: Passport) -> list[FieldError]:
    found: list[FieldError] = []

    def add(pointer: str, rule: str, detail: str) -> None:
        found.append(FieldError(pointer, rule, detail))

    if not _NAME.fullmatch(passport.service) or len(passport.service) > 40:
        add("/service", "name", "use lower-case letters, digits and single hyphens, at most 40 characters")
    if not _VERSION.fullmatch(passport.version) or passport.version.startswith("0"):
        add(
            "/version",
            "semantic-version",
            "write a semantic version from 1.0.0 on; the major number stands in the path",
        )
    for name, value in (("team", passport.owner.team), ("contact", passport.owner.contact)):
        if not value.strip():
            add(f"/owner/{name}", "required", "say who answers for the service")
    if passport.delivered_by and _share_sum(passport) != 100:
        add("/delivered_by", "sum", "the shares are percentages that add up to 100")
    if not passport.operations:
        add("/operations", "required", "a service has at least one operation")
    found.extend(_operations_broken(passport))
    for index, rule in enumerate(passport.limits):
        if broken := limit.rule_broken(rule):
            add(f"/limits/{index}/{broken[0]}", "range", broken[1])
    kinds = [(type(rule), rule.per) for rule in passport.limits]
    for index, kind in enumerate(kinds):
        if kind in kinds[:index]:
            add(f"/limits/{index}", "unique", "one limit of each kind for an application and for an account")
    found.extend(
        FieldError("/sla" + error.pointer, error.rule, error.detail)
        for error in sla.rules_broken(passport.sla)
    )
    found.extend(_plans_broken(passport))
    operations = {entry.id for entry in passport.operations}
    for index, cost in enumerate(passport.costs):
        if cost.operation not in operations:
            add(f"/costs/{index}/operation", "reference", "name an operation of this passport")
        if not is_currency(cost.currency):
            add(f"/costs/{index}/currency", "currency", "use an ISO 4217 code such as CNY")
        if not _is_amount(cost.unit_cost):
            add(f"/costs/{index}/unit_cost", "decimal", 'write a decimal string such as "0.002"')
    if (dates := passport.deprecation) is not None and dates.sunset <= dates.deprecation:
        add("/lifecycle/deprecated/sunset", "order", "the sunset comes after the deprecation")
    return found


def _operations_broken(passport: Passport) -> list[FieldError]:
    found: list[FieldError] = []
    ids = [entry.id for entry in passport.operations]
    for index, entry in enumerate(passport.operations):
        at = f"/operations/{index}"
        if not _NAME.fullmatch(entry.id) or len(entry.id) > 40:
            found.append(FieldError(f"{at}/id", "name", "use lower-case letters, digits and single hyphens"))
        if entry.id in ids[:index]:
            found.append(FieldError(f"{at}/id", "unique", "each operation has an id of its own"))
        if not 1 <= entry.deadline_ms <= 120_000:
            found.append(
                FieldError(f"{at}/deadline_ms", "range", "the deadline is between 1 and 120,000 milliseconds")
            )
        if not 1 <= entry.max_body_bytes <= 1024 * 1024:
            found.append(FieldError(f"{at}/max_body_bytes", "range", "bodies are between 1 byte and 1 MiB"))
        found.extend(
            FieldError(f"{at}/{name}/schema", "reference", "write schema.py:TypeName")
            for name, reference in (("request", entry.request), ("reply", entry.reply))
            if not _SCHEMA.fullmatch(reference.schema)
        )
        if entry.idempotency != "not_needed" and entry.effect == "none":
            found.append(
                FieldError(
                    f"{at}/idempotency",
                    "effect",
                    "a stored reply lives in the effect's transaction; without effect write not_needed",
                )
            )
        for place, problem in enumerate(entry.problems):
            if problem not in PROBLEMS:
                found.append(
                    FieldError(f"{at}/problems/{place}", "reference", "name a problem listed at /problems")
                )
        if broken := meter.rule_broken(entry.meter):
            found.append(FieldError(f"{at}/meter", "meter", broken))
        if not entry.success_when.strip():
            found.append(
                FieldError(f"{at}/success_when", "required", "write an expression such as status == 200")
            )
    return found


def _plans_broken(passport: Passport) -> list[FieldError]:
    found: list[FieldError] = []
    operations = {entry.id for entry in passport.operations}
    ids: list[str] = []
    for index, raw in enumerate(passport.plans):
        try:
            plan = parse_plan(raw)
        except TermsError as error:
            found.extend(
                FieldError(f"/plans/{index}{one.pointer}", one.rule, one.detail) for one in error.errors
            )
            continue
        if plan.id in ids:
            found.append(FieldError(f"/plans/{index}/id", "unique", "each plan has an id of its own"))
        ids.append(plan.id)
        for place, entry in enumerate(plan.prices):
            if entry.operation not in operations:
                found.append(
                    FieldError(
                        f"/plans/{index}/prices/{place}/operation",
                        "reference",
                        "name an operation of this passport",
                    )
                )
    return found


def _share_sum(passport: Passport) -> Decimal:
    if not all(_is_amount(share.share_pct) for share in passport.delivered_by):
        return Decimal(-1)
    return sum((Decimal(share.share_pct) for share in passport.delivered_by), Decimal(0))


def _is_amount(text: str) -> bool:
    try:
        return decimal_of(text) >= 0
    except ValueError:
        return False
