"""Reading a node's metrics: the Prometheus text format (version 0.0.4), as `top` and `doctor` need it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

_LINE: Final = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)(?: # .*)?")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Sample:
    name: str
    labels: Mapping[str, str]
    value: float


def samples(text: str) -> Iterator[Sample]:
    """One for each line that has a number; others are comments."""
    for line in text.splitlines():
        if (match := _LINE.fullmatch(line)) is not None:
            yield Sample(match[1], dict(_LABEL.findall(match[2] or "")), float(match[3]))
