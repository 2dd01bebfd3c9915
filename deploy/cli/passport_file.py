"""A passport's file as commands take it: what is wrong with it is said line by line."""

from collections.abc import Iterator
from pathlib import Path

from catalog.passport import BYTES_MAX, Passport, PassportRefused, read_passport


def read_passport_file(path: Path) -> Passport:
    """The passport in a file; `PassportRefused` names each field, rule and remedy, OSError as the file system has it."""
    with path.open("rb") as file:
        return read_passport(file.read(BYTES_MAX + 1).decode("utf-8", "replace"))


def refusal_lines(path: Path, refused: PassportRefused) -> Iterator[str]:
    """One line for each thing that is wrong."""
    return (f"{path}: {error.pointer or '/'}: {error.detail} [{error.rule}]" for error in refused.errors)
