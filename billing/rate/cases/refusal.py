"""How a case is refused: the place, the rule that it breaks and what to do, as in every problem of the product."""

from catalog.vocabulary.problem import FieldError, Problem


def refused(pointer: str, rule: str, remedy: str) -> Problem:
    """The `invalid-input` problem of one field of a case."""
    return Problem("invalid-input", remedy, errors=(FieldError(pointer, rule, remedy),))
