"""Which content coding a client takes (RFC 9110 section 12.5.3)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_NAME: Final = rb"[!#$%&'*+.^_`|~0-9a-z-]+"
_WEIGHT: Final = rb"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?"
_ITEM: Final = re.compile(rb"[ \t]*(" + _NAME + rb")[ \t]*(?:;[ \t]*q=(" + _WEIGHT + rb")[ \t]*)?")
_LONGEST: Final = 1_000  # bytes of the field that are looked at: no browser sends a tenth of it


def choose(value: bytes, offered: tuple[bytes, ...]) -> bytes | None:
    """The coding with the highest weight, the first offered among equals; None where the body as it is weighs more,
    or nothing offered is taken. Items that cannot be read count as not there."""
    return _choose(value[:_LONGEST], offered)


@lru_cache(maxsize=512)
def _choose(value: bytes, offered: tuple[bytes, ...]) -> bytes | None:
    weights: dict[bytes, float] = {}
    for item in value.lower().split(b","):
        match = _ITEM.fullmatch(item)
        if match is not None:
            name = b"gzip" if match[1] == b"x-gzip" else match[1]
            weights.setdefault(name, 1.0 if match[2] is None else float(match[2]))
    rest = weights.get(b"*", 0.0)
    best, weight = None, weights.get(b"identity", 0.0)  # unnamed, it is worth less than any coding that is named
    for name in offered:
        own = weights.get(name, rest)
        if own > 0 and (own > weight or (best is None and own == weight)):
            best, weight = name, own
    return best
