"""How a version is named by requests, as parameters of its OpenAPI document. Accept and Content-Type are none: OpenAPI
passes over parameters of these names (3.1, section 4.8.12.1), so media types stand with the bodies."""

from __future__ import annotations

from typing import Any

from gateway.snapshot.choice import varies
from gateway.snapshot.spec import VersionSpec


def naming_parameters(version: VersionSpec) -> list[dict[str, Any]]:
    """One for each field or query parameter. Where there is one way only and no default, a request must use it."""
    ways = version.select_by
    places = [("header", name) for name in varies(version) if name == version.version_header]
    if "query" in ways:
        places.append(("query", version.version_query))
    alone = len(places) == 1 and "media-type" not in ways
    return [
        {
            "name": name,
            "in": where,
            "required": alone and not version.default,
            "description": _words(version),
            "schema": _schema(version),
        }
        for where, name in places
    ]


def _schema(version: VersionSpec) -> dict[str, Any]:
    named = {"type": "string", "enum": [version.version]}
    if "date" not in version.select_by:
        return named
    day = {"type": "string", "format": "date"}
    return day if version.select_by == ("date",) else {"anyOf": [named, day]}


def _words(version: VersionSpec) -> str:
    if "date" not in version.select_by:
        return "The version of this API."
    return (
        "The version of this API, or a date: the newest version that was released by then. "
        f"This one was released on {version.released}."
    )
