"""The Prometheus text format, version 0.0.4, and OpenMetrics 1.0, which is nearly the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

PLAIN: Final = "text/plain; version=0.0.4; charset=utf-8"
OPEN: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_RANGE: Final = re.compile(r"\s*([^;,\s]+)\s*((?:;[^,]*)?)")
_QUALITY: Final = re.compile(r";\s*q=([0-9.]+)")


def family(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def labels(entry: Mapping[str, Any], names: Iterable[str]) -> str:
    return ",".join(f"{name}={quoted(str(entry[name]))}" for name in names)


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def page(lines: Sequence[str], open_metrics: bool = False) -> bytes:
    """In OpenMetrics a counter's family is named without `_total`, and the page has an end."""
    if open_metrics:
        counters = {line.split(" ")[2] for line in lines if line.startswith("# TYPE ") and line.endswith(" counter")}
        lines = [*(_renamed(line, counters) for line in lines), "# EOF"]
    return ("\n".join(lines) + "\n").encode()


def _renamed(line: str, counters: set[str]) -> str:
    if line.startswith("# "):
        sign, what, name, rest = line.split(" ", 3)
        if name in counters:
            return f"{sign} {what} {name.removesuffix('_total')} {rest}"
    return line


def wants_open(accept: str) -> bool:
    """Whether an Accept prefers OpenMetrics (RFC 9110 section 12.5.1); without one, or with `*/*`, the plain form."""
    weights = {"open": 0.0, "plain": 0.0}
    for media, parameters in _RANGE.findall(accept.lower()):
        quality = _QUALITY.search(parameters)
        weight = min(1.0, float(quality[1])) if quality is not None and quality[1].count(".") < 2 else 1.0
        if media == "application/openmetrics-text":
            weights["open"] = max(weights["open"], weight)
        elif media in {"text/plain", "text/*", "*/*"}:
            weights["plain"] = max(weights["plain"], weight)
    return weights["open"] > 0 and weights["open"] >= weights["plain"]
