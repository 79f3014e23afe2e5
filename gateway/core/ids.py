"""Request ids: unique over processes and restarts, cheap, and safe in a header and a log line."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable


def id_source(prefix: str | None = None) -> Callable[[], str]:
    """A counter behind 48 random bits: `3f9c…-1a`. One per process; a given prefix makes it repeatable in tests."""
    start = os.urandom(6).hex() if prefix is None else prefix
    numbers = itertools.count(1)
    return lambda: f"{start}-{next(numbers):x}"
