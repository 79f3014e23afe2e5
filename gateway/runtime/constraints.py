"""What `Annotated`, pydantic's `Field` and `annotated_types` say beside a type, as facets of the type table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

import annotated_types
from pydantic.fields import FieldInfo

from gateway.schema.facets import check
from gateway.schema.types import Scalar, ScalarKind


class Unsupported(Exception):
    """An annotation that no contract can be read from. `hint` says what to write instead."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(slots=True)
class Constraints:
    """Everything that was said about one annotation; `facets` are keyed as in `Scalar`."""

    facets: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)  # `json_schema_extra`
    title: str = ""
    description: str = ""


_FACETS: Final = {
    "ge": "minimum",
    "gt": "exclusive_minimum",
    "le": "maximum",
    "lt": "exclusive_maximum",
    "min_length": "min_length",
    "max_length": "max_length",
    "pattern": "pattern",
    "max_digits": "precision",
    "decimal_places": "scale",
}
_BOUNDS: Final = frozenset(("minimum", "exclusive_minimum", "maximum", "exclusive_maximum"))
_LENGTHS: Final = frozenset(("min_length", "max_length"))
_ALLOWED: Final[Mapping[ScalarKind, frozenset[str]]] = {
    "int32": _BOUNDS,
    "int64": _BOUNDS,
    "float": _BOUNDS,
    "double": _BOUNDS,
    "decimal": _BOUNDS | {"precision", "scale"},
    "string": _LENGTHS | {"pattern"},
    "bytes": _LENGTHS,
}
_FORMATS: Final[Mapping[ScalarKind, tuple[ScalarKind, ...]]] = {"int64": ("int32",), "double": ("float",)}


def constraints(metadata: Iterable[Any]) -> Constraints:
    """Reads metadata from the outer to the inner; what validates by code alone is left to the code."""
    found = Constraints()
    for item in _flat(metadata):
        if isinstance(item, FieldInfo):
            found.title = found.title or item.title or ""
            found.description = found.description or item.description or ""
            if isinstance(item.json_schema_extra, dict):
                found.extra |= item.json_schema_extra
            continue
        if getattr(item, "multiple_of", None) is not None:
            raise Unsupported("multiple_of is not supported", "Check it in the process and raise a declared Problem.")
        for attribute, facet in _FACETS.items():
            if (value := getattr(item, attribute, None)) is not None:
                found.facets[facet] = value
    return found


def _flat(metadata: Iterable[Any]) -> Iterator[Any]:
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield item
            yield from _flat(item.metadata)
        elif isinstance(item, annotated_types.GroupedMetadata):
            yield from _flat(item)
        elif not isinstance(item, str | type):
            yield item


def restrict(kind: ScalarKind, said: Constraints) -> Scalar:
    """A scalar with its facets. Unsupported for a facet that its kind does not take."""
    wanted = said.extra.get("format")
    if wanted in _FORMATS.get(kind, ()):
        kind = wanted
    for facet in said.facets:
        if facet not in _ALLOWED.get(kind, ()):
            raise Unsupported(f"a {kind} takes no {facet}", "Check it in the process and raise a declared Problem.")
    facets = {facet: _facet(facet, value) for facet, value in said.facets.items()}
    scalar = replace(Scalar(kind), **facets)
    try:
        check(scalar)
    except ValueError as error:
        raise Unsupported(str(error), "Check it in the process and raise a declared Problem.") from None
    return scalar


def _facet(facet: str, value: Any) -> Any:
    if facet in _BOUNDS:
        if not isinstance(value, int | float | Decimal):
            raise Unsupported(f"the bound {value!r} is no number")
        return Decimal(str(value))
    return value.pattern if isinstance(value, re.Pattern) else value
