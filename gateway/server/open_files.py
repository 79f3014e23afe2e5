"""How many files this process may open, and what a worker may hold open for clients."""

from __future__ import annotations

import contextlib
import resource
from typing import Final

RESERVED: Final = 256  # descriptors for everything that is neither a client's connection nor an upstream's
MOST: Final = 20_000  # connections by default, whatever the limit: an idle one takes some 4 kB, one with TLS 30 kB


def raise_open_files() -> int:
    """Raises this process's limit, which its children inherit, to the hardest one; the limit then. One that cannot be
    raised stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return open_files()


def open_files() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def ceilings(connections: int | None, exchanges: int | None, files: int) -> tuple[int, int]:
    """Connections and exchanges that a worker holds at most. Where they are not set, two thirds of the descriptors are
    for clients and one third for upstreams: an exchange may need one of each."""
    free = max(files - RESERVED, 96) if files > 0 else 3 * MOST  # no limit: RLIM_INFINITY
    most = connections or min(free * 2 // 3, MOST)
    return most, exchanges or max(1, min(most // 2, free // 3))
