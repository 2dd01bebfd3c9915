"""The refusal of commercial terms (prices, plans, SLA, limits) that cannot be published."""

from catalog.vocabulary.problem import FieldError


class TermsError(ValueError):
    """Terms that break a rule; `errors` says where, which rule, and what to do about each.

    Pointers are relative to the object that was parsed: a price, a plan, a passport.
    """

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        """At least one error; the message is readable on its own."""
        assert errors, "terms are refused for a reason"
        super().__init__("; ".join(f"{error.pointer or '/'}: {error.detail}" for error in errors))
        self.errors = errors

    def under(self, prefix: str) -> "TermsError":
        """The same errors seen from an enclosing object; `prefix` is a JSON pointer such as `/prices/0`."""
        return TermsError(tuple(FieldError(prefix + e.pointer, e.rule, e.detail) for e in self.errors))
