"""Near misses: what somebody may have meant by a name that does not exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that begins with a blank and names the closest ones, or nothing."""
    names = list(known)
    lower = {candidate.lower(): candidate for candidate in reversed(names)}
    found = get_close_matches(name[:128].lower(), lower, n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(lower[match] for match in found)}?" if found else ""
