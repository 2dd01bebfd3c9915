"""How many of what, in English."""


def counted(count: int, one: str, many: str = "") -> str:
    """`1 result`, `2 results`; `many` where the plural is not the singular and an s."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"
