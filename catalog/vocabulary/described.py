"""What a field means, in both languages, beside its type."""

from typing import Any

from msgspec import Meta


def described(english: str, chinese: str, **rules: Any) -> Meta:
    """The annotation of a field: `Annotated[int, described("Whole units.", "整数单位。", ge=1)]`. `rules` are those of
    `msgspec.Meta`. In the contract the English text is the `description`, as tools expect; the Chinese one stands in
    `x-ordergate`, from where the Chinese pages take it."""
    return Meta(description=english, extra_json_schema=in_chinese(chinese), **rules)


def in_chinese(chinese: str) -> dict[str, Any]:
    """The member of a schema, parameter or header that carries its Chinese description."""
    return {"x-ordergate": {"description": {"zh-CN": chinese}}}
