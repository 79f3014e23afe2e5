"""The audit beside the store: each entry of a change that was made at this node, as a line of JSON in a file of its
own, or on standard output. Written when the store has committed it (`Store.on_audit`); the store's own audit is what
counts."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import orjson

from gateway.core.clock import Clock, utc_text
from gateway.store.store import Value
from gateway.telemetry.line_file import STDOUT, open_lines, write_lines

log: Final = logging.getLogger("gateway.control")


class AuditLog:
    """`send` takes what goes to standard output: this process's own is how it talks to its supervisor."""

    def __init__(self, path: Path, clock: Clock, node: str, send: Callable[[bytes], None]) -> None:
        self._path = path
        self._clock = clock
        self._node = node
        self._send = send
        self._file = -1 if path == STDOUT else open_lines(path)

    def write(self, sequence: int, audit: Value) -> None:
        """A disk that takes nothing loses the line, not the change; the log says so each time."""
        told = {"time": utc_text(self._clock.time()), "node": self._node, "sequence": sequence, **audit}
        line = orjson.dumps(told) + b"\n"
        try:
            if self._file < 0:
                self._send(line)
            else:
                write_lines(self._file, [line])
        except OSError:
            log.exception("the audit log %s cannot be written", self._path)

    def reopen(self) -> None:
        """After the file was rotated away."""
        if self._file < 0:
            return
        try:
            opened = open_lines(self._path)
        except OSError:
            log.exception("the audit log %s cannot be opened again; the old file is written on", self._path)
            return
        os.close(self._file)
        self._file = opened

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
