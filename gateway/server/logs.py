"""How the processes of a node log: one line each on standard error, with the process that wrote it; as text, or as JSON
for what collects logs."""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final

import orjson

_control: Final = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]")


class OneLine(logging.Formatter):
    """What a client sent can stand in a message: its control characters are escaped, and the lines of a traceback are
    indented, so that nobody can write a line of their own into the log, or colour a terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return _control.sub(_escaped, super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        lines = super().formatException(ei).split("\n")
        return "\n".join(f"  {_control.sub(_escaped, line)}" for line in lines)


class JsonLine(logging.Formatter):
    """One object a record: `time`, `level`, `process`, `logger`, `message`, and `exception` where there is one."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(told).decode()
        except TypeError:  # half of a surrogate pair: no bytes carry it
            return orjson.dumps(
                {name: value.encode(errors="replace").decode() for name, value in told.items()}
            ).decode()


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def configure(process: str, level: str = "info", format: str = "text") -> None:
    """`level` and `format` are settings: debug, info, warning, error; text, json."""
    handler = logging.StreamHandler(sys.stderr)
    text = OneLine(f"%(asctime)s {process} %(levelname)s %(message)s")
    handler.setFormatter(JsonLine(process) if format == "json" else text)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("gateway").setLevel(level.upper())
