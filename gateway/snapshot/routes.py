"""Templates and base paths, and the rule that ranks them. Pure.

`live/router` compiles them into tries; `explain` and `urls` read them as they are. A template's segments are
static text, `{name}` (one segment, not empty) or `**` (the rest, even none; last only). Static beats `{name}` beats
`**`, segment by segment from the left; the longest base path decides before that (PROTOCOLS B3).
"""

from __future__ import annotations

from typing import Literal

from gateway.snapshot.spec import VersionSpec

SOAP_PATH = "/soap"
ODATA_PATH = "/odata"
OPENAPI_PATH = "/openapi.json"


def shape(path: str) -> tuple[str, ...]:
    """A template's segments with parameter names erased: equal shapes are the same URLs."""
    return tuple("{}" if is_parameter(segment) else segment for segment in segments_of(path))


def is_parameter(segment: str) -> bool:
    return segment.startswith("{")


def segments_of(path: str) -> tuple[str, ...]:
    """`/orders/{id}` → ("orders", "{id}"); `/` → ()."""
    return tuple(path.strip("/").split("/")) if path.strip("/") else ()


def parameters_of(path: str) -> tuple[str, ...]:
    """The names in a template in order; `**` is named `**`."""
    return tuple(part[1:-1] if is_parameter(part) else part for part in segments_of(path) if part[:1] in "{*" and part)


def roots(version: VersionSpec) -> list[tuple[str, Literal["path", "head"]]]:
    """Where a version is mounted, and what selects it there: the path, or something else in the request's head."""
    found: list[tuple[str, Literal["path", "head"]]] = []
    by_path = "path" in version.select_by
    if by_path:
        found.append((version.root, "path"))
    if version.select_by != ("path",):
        bare = "/".join(part for part in version.base_path.split("/") if "{version}" not in part) or "/"
        if not by_path or bare != version.root:
            found.append((bare, "head"))
    return found


def matches(segments: tuple[str, ...], path: list[str]) -> tuple[str, ...] | None:
    """What the parameters matched, or None."""
    found = []
    for index, segment in enumerate(segments):
        if segment == "**":
            found.append("/".join(path[index:]))
            return tuple(found)
        if index >= len(path):
            return None
        if is_parameter(segment):
            if not path[index]:
                return None
            found.append(path[index])
        elif segment != path[index]:
            return None
    return tuple(found) if len(path) == len(segments) else None


def rank(segments: tuple[str, ...]) -> tuple[int, ...]:
    """Sorts the most specific template first."""
    return tuple(2 if segment == "**" else 1 if is_parameter(segment) else 0 for segment in segments)
