"""Formats that promise something else than the codecs do, made exact for the OpenAPI document.

`float` says nothing of the range of 32 bits. `duration` (RFC 3339 appendix A) has no fractions of a second, but years,
months and weeks: the schema's own pattern is what holds.
"""

from __future__ import annotations

from typing import Any

from gateway.schema.facets import MAX_FLOAT


def exact(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with such formats replaced at every depth."""
    schema = {key: _exact_part(part) for key, part in schema.items()}
    if schema.get("format") == "duration" and "pattern" in schema:
        del schema["format"]
        schema.setdefault("description", "A duration of days and time (ISO 8601), such as P1DT2H.")
    elif schema.get("format") == "float":
        schema = {"minimum": -MAX_FLOAT, "maximum": MAX_FLOAT} | schema
    return schema


def _exact_part(part: Any) -> Any:
    if isinstance(part, dict):
        return exact(part)
    return [_exact_part(inner) for inner in part] if isinstance(part, list) else part
