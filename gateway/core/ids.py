"""Request ids: unique over processes and restarts, cheap, and safe in a header and a log line."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gateway.core.headers import finder

if TYPE_CHECKING:
    from gateway.core.exchange import Head

_ID: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_field: Final = finder(b"x-request-id")


def id_source(prefix: str | None = None) -> Callable[[], str]:
    """A counter behind 48 random bits: `3f9c…-1a`. One per process; a given prefix makes it repeatable in tests."""
    start = os.urandom(6).hex() if prefix is None else prefix
    numbers = itertools.count(1)
    return lambda: f"{start}-{next(numbers):x}"


def named_id(head: Head) -> str | None:
    """What a trusted proxy calls this request (X-Request-Id), where that is safe in a header and a log line."""
    values = _field(head.block)
    return values[0].decode() if len(values) == 1 and _ID.fullmatch(values[0]) else None
