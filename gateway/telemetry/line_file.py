"""Files of lines that several processes write: a file on disk, or standard output, for what collects a container's.

A pipe takes up to PIPE_BUF bytes whole or not at all (pipe(7)), so lines go there in pieces of that size, without
waiting: a collector that does not read loses lines, never requests.
"""

from __future__ import annotations

import contextlib
import os
import select
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

STDOUT: Final = Path("-")

Write = Callable[[int, bytes], int]


def open_lines(path: Path) -> int:
    """A descriptor that is the caller's to close. OSError."""
    if path == STDOUT:
        return _standard_output()
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)


def _standard_output() -> int:
    """A pipe is opened anew, so that not waiting is a matter of ours alone; anything else is used as it is."""
    if stat.S_ISFIFO(os.fstat(1).st_mode):
        with contextlib.suppress(OSError):
            return os.open("/proc/self/fd/1", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    return os.dup(1)


def write_lines(file: int, lines: Sequence[bytes], write: Write = os.write) -> int:
    """How many were lost, as nobody reads them. OSError where a file cannot be written at all."""
    if os.get_blocking(file):
        write(file, b"".join(lines))
        return 0
    lost = 0
    for piece in _pieces([_whole(line) for line in lines]):
        try:
            write(file, b"".join(piece))
        except BlockingIOError:
            lost += len(piece)
    return lost


def _whole(line: bytes) -> bytes:
    """What a pipe might take a part of would glue others to it: instead of it a line that says so, with what every line
    begins with (time and id)."""
    if len(line) <= select.PIPE_BUF:
        return line
    kept = line[: line.index(b',"', 1)] if b',"' in line[:200] else b"{"
    return kept + (b"," if kept != b"{" else b"") + b'"too_long":%d}\n' % len(line)


def _pieces(lines: Sequence[bytes]) -> list[list[bytes]]:
    pieces: list[list[bytes]] = []
    size = select.PIPE_BUF
    for line in lines:
        size += len(line)
        if size > select.PIPE_BUF:
            pieces.append([])
            size = len(line)
        pieces[-1].append(line)
    return pieces
