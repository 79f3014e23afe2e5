"""Cache-Control (RFC 9111 section 5.2), read. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Final

Directives = Mapping[str, str | None]

_DIRECTIVE: Final = re.compile(
    rb'[ \t,]*+([!#$%&\'*+.^_`|~0-9A-Za-z-]++)(?:[ \t]*+=[ \t]*+("(?:[^"\\]|\\.)*+"|[^",]*+))?[^,]*+'
)
_LONGEST: Final = 2**31  # seconds, as section 1.2.2 says of values that are too large


def directives(values: Sequence[bytes]) -> dict[str, str | None]:
    """Names in lower case; of one that stands more than once the first counts (section 4.2.1)."""
    found: dict[str, str | None] = {}
    for value in values:
        for name, argument in _DIRECTIVE.findall(value):
            text = argument.strip().strip(b'"').decode("latin-1") if argument else None
            found.setdefault(name.lower().decode(), text)
    return found


def seconds(found: Directives, name: str) -> int | None:
    """A directive's delta-seconds; None without it. One that cannot be read is 0: stale, as section 4.2.1 advises."""
    if name not in found:
        return None
    text = found[name] or ""
    return min(int(text), _LONGEST) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def moment(value: bytes | None) -> float | None:
    """An HTTP date in seconds since 1970; None when it is none."""
    if value is None:
        return None
    try:
        return parsedate_to_datetime(value.decode("latin-1")).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
