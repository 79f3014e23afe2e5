"""Durations as documents write them: `250ms`, `5s`, `1.5m`, `24h`, `7d`."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)")


def seconds(text: str) -> float:
    """The duration in seconds: one number above zero and one unit. ValueError tells how to write it."""
    match = _DURATION.fullmatch(text.strip())
    value = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if value <= 0:
        raise ValueError(
            f"not a duration: {text!r}. Write a number above zero and a unit (ms, s, m, h, d), such as 250ms, 5s or 1m."
        )
    return value


def _checked(text: str) -> str:
    seconds(text)
    return text


Duration = Annotated[str, AfterValidator(_checked)]
"""Of a configuration: as it is written, and checked when it is read."""
