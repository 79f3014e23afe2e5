"""One thing that `penstock doctor` looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "told", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class Found:
    """`what` was looked at, what was seen, and, unless it is ok, the way out. `told`: nobody but a person knows whether
    it is meant."""

    what: str
    state: State
    seen: str
    out: str = ""
