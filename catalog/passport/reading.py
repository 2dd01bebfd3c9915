"""From YAML or stored JSON to a passport: form, then text, then rules; nothing hostile gets further than here."""

from collections.abc import Mapping
from io import StringIO
from typing import Any

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from catalog.passport.passport import Passport, PassportRefused
from catalog.passport.rules import rules_broken
from catalog.vocabulary.problem import FieldError
from catalog.vocabulary.strict_json import forbidden_text
from catalog.vocabulary.wrong_fields import field_error, wrong_fields

BYTES_MAX = 64 * 1024
# A passport's own nesting is below ten. The parser's time grows with the square of the depth.
DEPTH_MAX = 40


def read_passport(text: str) -> Passport:
    """The passport of a YAML document, checked in full; `PassportRefused` names each field, rule and remedy."""
    return check_passport(_load_yaml(text))


def check_passport(document: Any) -> Passport:
    """The same for a document that is decoded already, as the registry stores it."""
    if not isinstance(document, Mapping):
        raise PassportRefused((FieldError("", "type", "a passport is a mapping of fields"),))
    if (pointer := forbidden_text(document)) is not None:
        detail = "text has no NUL, control characters or lone surrogates, names are text, numbers are finite"
        raise PassportRefused((FieldError(pointer, "control-character", detail),))
    try:
        passport = msgspec.convert(document, Passport)
    except msgspec.ValidationError:
        errors = tuple(map(_in_yaml, wrong_fields(document, Passport).errors))
        raise PassportRefused(errors) from None
    errors = tuple(rules_broken(passport))
    if errors:
        raise PassportRefused(errors)
    return passport


def _in_yaml(found: FieldError) -> FieldError:
    """YAML reads 1.0 as a number and 2026-01-01 as a date."""
    if "expected `string`" not in found.detail:
        return found
    return FieldError(found.pointer, found.rule, f"{found.detail.rstrip('.')}; write it in quotes")


def stored_passport(document: Any) -> Passport:
    """A document that was checked when it was published, read by its form alone: rules that were tightened since must
    not take a service off sale. `PassportRefused` for one that this version cannot read."""
    try:
        return msgspec.convert(document, Passport)
    except msgspec.ValidationError as error:
        raise PassportRefused((field_error(error),)) from None


def _load_yaml(text: str) -> Any:
    def refuse(rule: str, detail: str) -> PassportRefused:
        return PassportRefused((FieldError("", rule, detail),))

    if len(text.encode("utf-8", "surrogatepass")) > BYTES_MAX:
        raise refuse("size", f"a passport is at most {BYTES_MAX // 1024} KiB")
    if _bracket_depth(text) > DEPTH_MAX:
        raise refuse("yaml-depth", f"a passport is nested at most {DEPTH_MAX} deep")
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
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise refuse("yaml", f"this is not YAML 1.2{_line_of_value(text)}: {said}") from None
    if anchored:
        raise refuse("yaml-alias", "write values out instead of using anchors and aliases")
    return document


def _line_of_value(text: str) -> str:
    """Where the first value stands that is written as a date or a number and is none: ` in line 40 (2026-02-30)`; nothing
    where no value is at fault."""
    yaml = YAML(typ="safe", pure=True)
    try:
        pending = [yaml.compose(StringIO(text))]
    except (YAMLError, ValueError, RecursionError):
        return ""
    while pending:
        node = pending.pop(0)
        if isinstance(node, MappingNode):
            pending[:0] = [part for pair in node.value for part in pair]
        elif isinstance(node, SequenceNode):
            pending[:0] = node.value
        elif isinstance(node, ScalarNode):
            try:
                yaml.constructor.construct_object(node)
            except ValueError:
                return f" in line {node.start_mark.line + 1} ({node.value})"
            except YAMLError:
                continue
    return ""


def _bracket_depth(text: str) -> int:
    """How deep flow collections may be nested at most; brackets inside text count too, which does no harm."""
    depth = deepest = 0
    for character in text:
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}" and depth:
            depth -= 1
    return deepest
