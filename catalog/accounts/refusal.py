"""How the accounts refuse input: every problem names the field, the rule and what to do."""

from collections.abc import Sequence

from catalog.vocabulary.problem import FieldError, Problem


def invalid(pointer: str, rule: str, detail: str) -> Problem:
    """`Problem` invalid-input about one field."""
    return invalid_fields([FieldError(pointer, rule, detail)])


def invalid_fields(errors: Sequence[FieldError]) -> Problem:
    """`Problem` invalid-input about all of these fields."""
    detail = "; ".join(f"{error.pointer}: {error.detail}" for error in errors)
    return Problem("invalid-input", f"{detail}.", errors=tuple(errors))
