"""What a passport must hold beyond its form, each rule with its field and remedy."""

import re
from decimal import Decimal

from catalog import limit, meter, sla
from catalog.passport.passport import OperationEntry, Passport
from catalog.plan import parse_plan
from catalog.plan.rules import never_meant
from catalog.terms_error import TermsError
from catalog.vocabulary.money import decimal_of, is_currency
from catalog.vocabulary.problem import PROBLEMS, FieldError

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_SCHEMA = re.compile(r"schema\.py:[A-Z][A-Za-z0-9]*")


def rules_broken(passport: Passport) -> list[FieldError]:
    """Everything wrong with a passport, with pointers into it."""
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
    kinds = [limit.key_of(rule) for rule in passport.limits]
    for index, kind in enumerate(kinds):
        if kind in kinds[:index]:
            add(
                f"/limits/{index}",
                "unique",
                "one limit of each kind for an application and for an account; a quota also for each period and what it counts",
            )
    found.extend(
        FieldError("/sla" + error.pointer, error.rule, error.detail)
        for error in sla.rules_broken(passport.sla, [entry.id for entry in passport.operations])
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
        found.extend(_dimensions_broken(entry, f"{at}/meter/dimensions"))
        if not entry.success_when.strip():
            found.append(
                FieldError(f"{at}/success_when", "required", "write an expression such as status == 200")
            )
    return found


def _dimensions_broken(entry: OperationEntry, at: str) -> list[FieldError]:
    if broken := meter.dimension_rule_broken(entry.meter):
        return [FieldError(f"{at}/{broken[0]}" if broken[0] else at, "dimension", broken[1])]
    detail = "what is kept with a call for ever holds no personal data; name another field"
    return [
        FieldError(f"{at}/{name}", "personal-data", detail)
        for name, pointer in entry.meter.dimension_pointers.items()
        if pointer.split("/")[1] in entry.personal_data
    ]


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
            at = f"/plans/{index}/prices/{place}/price"
            found.extend(
                FieldError(at + one.pointer, one.rule, one.detail) for one in never_meant(entry.price)
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
