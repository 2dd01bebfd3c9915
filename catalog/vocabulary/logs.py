"""JSON logs on stderr, one line a record, the same fields in every process."""

import logging
import sys
import traceback
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter


class _JsonLines(JsonFormatter):
    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Which exceptions, and where they were raised, without their messages: those may repeat what a caller sent."""
        raised: list[str] = []
        error: BaseException | None = ei[1]
        while error is not None:
            frames = traceback.extract_tb(error.__traceback__)
            places = [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
            raised.append("\n".join([f"{type(error).__module__}.{type(error).__qualname__}", *places]))
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\nafter ".join(raised)


def log_json(process: str, level: int = logging.INFO) -> None:
    """Set the root logger up: time (UTC), level, logger, message, process name, and whatever `extra` a call gives.

    An exception is logged as types and places. What its message says is not: an operation may fail with a person's
    address in its mouth.
    """
    handler = logging.StreamHandler(sys.stderr)
    formatter = _JsonLines(
        "{levelname}{name}{message}",
        style="{",
        rename_fields={"levelname": "level", "name": "logger"},
        static_fields={"process": process},
        reserved_attrs=[*RESERVED_ATTRS, "color_message"],
        timestamp=True,
    )
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
