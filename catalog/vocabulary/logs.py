"""JSON logs on stderr, one line a record, the same fields in every process."""

import logging
import sys

from pythonjsonlogger.json import JsonFormatter


def log_json(process: str, level: int = logging.INFO) -> None:
    """Set the root logger up: time (UTC), level, logger, message, process name, and whatever `extra` a call gives."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = JsonFormatter(
        "{levelname}{name}{message}",
        style="{",
        rename_fields={"levelname": "level", "name": "logger"},
        static_fields={"process": process},
        timestamp=True,
    )
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
