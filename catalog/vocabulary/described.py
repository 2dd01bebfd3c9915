"""What a field means, in both languages, beside its type."""

from typing import Any

from msgspec import Meta

# The member of `Meta.extra` that says in words what a pattern or a list of values allows; it is in no contract.
FORM = "form"


def described(english: str, chinese: str, **rules: Any) -> Meta:
    """The annotation of a field: `Annotated[int, described("Whole units.", "整数单位。", ge=1)]`. `rules` are those of
    `msgspec.Meta`. In the contract the English text is the `description`, as tools expect; the Chinese one stands in
    `x-ordergate`, from where the Chinese pages take it."""
    return Meta(description=english, extra_json_schema=in_chinese(chinese), **rules)


def worded(form: str, **rules: Any) -> Meta:
    """The annotation of a text whose `rules` (those of `msgspec.Meta`) are no words for people. Whoever breaks them is told
    that `form` is needed: `a month such as 2026-11`."""
    return Meta(extra={FORM: form}, **rules)


def in_chinese(chinese: str) -> dict[str, Any]:
    """The member of a schema, parameter or header that carries its Chinese description."""
    return {"x-ordergate": {"description": {"zh-CN": chinese}}}
