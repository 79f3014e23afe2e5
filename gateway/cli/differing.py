"""Differences for people: by the section that they concern, each with one sign."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

import orjson

from gateway.cli import output

STYLES: Final = {"+": "green", "-": "red", "~": "yellow"}
_SECTION: Final = re.compile(r"versions\[[^\]]*\](?:\.\w+)?|\w+")
Item = Mapping[str, Any]


def differences(items: Sequence[Item]) -> None:
    """`+` is there anew, `-` is gone, `~` is another value, with both of them below."""
    if not items:
        output.out.print("No difference.", style="dim")
    for section, found in groupby(sorted(items, key=section_of), key=section_of):  # stable: paths keep their order
        output.out.print(output.shown(section, "bold"))
        for item in found:
            for line, style in _lines(item):
                output.out.print(output.shown(f"  {line}", style))


def section_of(item: Item) -> str:
    """Of a version its part, such as `policies`; of many versions that of each: `versions[shop@v1].policies`."""
    found = _SECTION.match(str(item["path"]))
    return found[0] if found else "everything"


def _lines(item: Item) -> Iterator[tuple[str, str]]:
    sign = "+" if "before" not in item else "-" if "after" not in item else "~"
    if sign == "~":
        yield f"~ {item['path']}", STYLES["~"]
        yield f"    - {_text(item['before'])}", STYLES["-"]
        yield f"    + {_text(item['after'])}", STYLES["+"]
    else:
        yield f"{sign} {item['path']}: {_text(item['after' if sign == '+' else 'before'])}", STYLES[sign]


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()
