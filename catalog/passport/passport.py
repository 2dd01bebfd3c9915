"""The passport as a value: operations, schemas, effect, SLA, price terms, owner, lifecycle state."""

from datetime import date
from typing import Annotated, Any, Literal

import msgspec

from catalog.limit import Limit, Quota, Rate
from catalog.meter import Meter
from catalog.plan import Plan, parse_plan
from catalog.sla import Sla
from catalog.vocabulary.described import worded
from catalog.vocabulary.problem import FieldError, Text

Visibility = Literal["public", "group", "private"]


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
    visibility: Visibility
    criticality: Literal["core", "support"]
    binding: Binding
    operations: tuple[OperationEntry, ...]
    sla: Sla
    plans: tuple[dict[str, Any], ...]
    lifecycle: Annotated[
        Literal["draft", "review", "published", "retired"] | Deprecated,
        worded(
            '"published", "retired" or {deprecated: {deprecation: 2026-06-01, sunset: 2026-12-31, replaced_by: other}}'
        ),
    ]
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

    @property
    def hard_quotas(self) -> tuple[Quota, ...]:
        """The quotas that refuse calls."""
        return tuple(rule for rule in self.limits if isinstance(rule, Quota) and rule.hard)
