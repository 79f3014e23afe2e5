"""Ends the zombies of a node that is process 1 of its container: nobody else waits for children whose parent is gone.

Our own children are waited for at once by the event loop's watcher. One that has ended and is still there half a second
later is nobody's: an orphan, such as what `docker exec` or an integrator's process left behind.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

TASKS: Final = Path("/proc/self/task")


def is_first() -> bool:
    """Whether this is process 1, which the kernel gives all orphans to."""
    return os.getpid() == 1


class Orphans:
    def __init__(self) -> None:
        self._seen: frozenset[int] = frozenset()

    def look(self) -> list[int]:
        """Waits for those that had ended at the look before; which they were."""
        ended = frozenset(pid for pid in _children() if _has_ended(pid))
        reaped = sorted(ended & self._seen)
        for pid in reaped:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._seen = ended
        return reaped


def _children() -> Iterator[int]:
    """Of all threads: a child belongs to the thread that started it."""
    for task in TASKS.iterdir():
        with contextlib.suppress(OSError):
            yield from map(int, (task / "children").read_text().split())


def _has_ended(pid: int) -> bool:
    """It stays waitable: WNOWAIT."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False
