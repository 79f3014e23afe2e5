"""How the processes of a node log: one line each on standard error, with the process that wrote it."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, Final

_control: Final = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]")


class OneLine(logging.Formatter):
    """What a client sent can stand in a message: its control characters are escaped, and the lines of a traceback are
    indented, so that nobody can write a line of their own into the log, or colour a terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return _control.sub(_escaped, super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        lines = super().formatException(ei).split("\n")
        return "\n".join(f"  {_control.sub(_escaped, line)}" for line in lines)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def configure(process: str, level: str = "info") -> None:
    """`level` is a setting's: debug, info, warning, error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine(f"%(asctime)s {process} %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("gateway").setLevel(level.upper())
