"""Shares as people write them: `5%`, `0.5%`, `100%`."""

from __future__ import annotations

import re
from typing import Final

_SHARE: Final = re.compile(r"(100(?:\.0{1,4})?|[0-9]{1,2}(?:\.[0-9]{1,4})?)%?")


def share(text: str) -> float:
    """The share, from 0 to 1; 10 and 10% are the same. ValueError tells how to write it."""
    match = _SHARE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a share: {text!r}. Write 0% to 100%, such as 10% or 0.5%.")
    return float(match[1]) / 100
