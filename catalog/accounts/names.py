"""What may be the name of an account, an application or a cost centre: any language, one line, no disguise."""

import unicodedata

from catalog.vocabulary.problem import FieldError

LENGTH_MAX = 80
# Commands take a name or an id, so a name must not look like an id.
_ID_PREFIXES = ("acct_", "app_", "cc_", "sub_", "user_")


def rule_broken(name: str, pointer: str = "/name") -> FieldError | None:
    """The rule that a name breaks, or None."""
    if not 1 <= len(name) <= LENGTH_MAX:
        return FieldError(pointer, "length", f"a name has 1 to {LENGTH_MAX} characters")
    if name != name.strip() or unicodedata.normalize("NFC", name) != name:
        return FieldError(pointer, "form", "write the name without blanks around it, in Unicode form NFC")
    if any(unicodedata.category(character)[0] == "C" for character in name):
        return FieldError(pointer, "characters", "a name has visible characters only")
    if name.startswith(_ID_PREFIXES):
        return FieldError(pointer, "reserved", f"names do not begin with {', '.join(_ID_PREFIXES)}: ids do")
    return None
