"""What `penstock doctor` tells of endpoints that are open to everybody. Pure over what the admin REST tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gateway.cli.finding import Found

SHOWN: Final = 3  # endpoints of a version that are named


def examine_open(endpoints: Sequence[Mapping[str, Any]]) -> Iterator[Found]:
    by: dict[str, list[str]] = {}
    for each in endpoints:
        by.setdefault(str(each["version"]), []).append(str(each["endpoint"]))
    for version, keys in sorted(by.items()):
        named = ", ".join(keys[:SHOWN]) + (f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else "")
        way = "Right where it is meant; else put an authenticating step in the place of `anonymous`."
        yield Found(f"version {version}", "told", f"open to everybody: {named}", way)
